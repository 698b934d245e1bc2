"""What people do without being asked: off by default, said in the line on what is kept, and never in anybody's way."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from pathlib import Path

import pytest

from alignment.dataset.compile import Signal as Compiled
from feedback_app.collect import consent, signals
from feedback_app.collect.signals import Signals, edit_distance, is_thanks
from feedback_app.domain.judging import Signal
from feedback_app.errors import Conflict, NotAllowed, Unavailable, UsageError
from feedback_app.settings import Settings, read_settings
from feedback_app.store.database import Store
from feedback_app.store.tables import Person
from tests.feedback_app.builders import answered

ALL = frozenset(Signal)


@pytest.fixture
def ada(sqlite_store: Store) -> Person:
    """Somebody who has accepted the line."""
    return consent.consent(sqlite_store, sqlite_store.people.add("ada", "chatter", ""))


def kept(store: Store) -> list[str]:
    return sorted(each.kind for each in store.signals.export(sorted(ALL)))


def test_nothing_is_kept_by_default_nor_of_those_who_have_not_accepted_the_line(
    sqlite_store: Store, ada: Person, tmp_path: Path
) -> None:
    assert Settings(home=tmp_path).kept_signals == frozenset()
    new = sqlite_store.people.add("new", "chatter", "")
    for person, kinds in ((ada, frozenset[Signal]()), (ada, frozenset({Signal.RETRY})), (new, ALL)):
        Signals(sqlite_store, kinds).did(person, Signal.COPY, answered(sqlite_store, person).id)
    assert kept(sqlite_store) == []
    Signals(sqlite_store, ALL).did(ada, Signal.COPY, answered(sqlite_store, ada).id)
    assert kept(sqlite_store) == ["copy"]


def test_the_setting_names_kinds_and_knows_them_as_the_compiler_does(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [signal.value for signal in Signal] == [signal.value for signal in Compiled]
    monkeypatch.setenv("ALIGNLOOP_SIGNALS", "copy, edit")
    assert read_settings().kept_signals == {Signal.COPY, Signal.EDIT}
    monkeypatch.setenv("ALIGNLOOP_SIGNALS", "all")
    assert read_settings().kept_signals == ALL
    monkeypatch.setenv("ALIGNLOOP_SIGNALS", "copy,glances")
    with pytest.raises(UsageError, match=r"ALIGNLOOP_SIGNALS is not valid.*no signal glances"):
        read_settings()


def test_the_line_says_what_is_kept(sqlite_store: Store) -> None:
    assert consent.line(frozenset()) == consent.LINE
    said = consent.line(frozenset({Signal.COPY, Signal.STOP}))
    assert said.startswith(consent.LINE)
    assert said.endswith("without being asked is kept and used too: copying, stopping.")
    assert set(consent.DEEDS) == ALL


def test_an_edit_says_how_much_changed(sqlite_store: Store, ada: Person) -> None:
    answer = answered(sqlite_store, ada, answer="The sky is blue")
    Signals(sqlite_store, ALL).edited(ada, answer.id, "The sky is green today")
    (signal,) = sqlite_store.signals.export(["edit"])
    assert signal.amount == pytest.approx(0.4)


def test_a_stop_is_one_only_where_the_answer_was_cut(sqlite_store: Store, ada: Person) -> None:
    watching = Signals(sqlite_store, ALL)
    answer = answered(sqlite_store, ada)
    watching.stopped(ada, answer.conversation_id)
    assert kept(sqlite_store) == []
    with sqlite_store.database.write() as session:
        row = sqlite_store.conversations.completion(answer.id)
        assert row is not None
        row.finish_reason = "stopped"
        session.merge(row)
    watching.stopped(ada, answer.conversation_id)
    assert kept(sqlite_store) == ["stop"]


def test_left_is_abandoned_until_they_come_back_and_go_on(sqlite_store: Store, ada: Person) -> None:
    watching = Signals(sqlite_store, ALL)
    answer = answered(sqlite_store, ada)
    watching.left(ada, answer.conversation_id)
    assert kept(sqlite_store) == ["abandoned"]
    before = watching.before_message(ada, answer.conversation_id)
    assert before == answer.id
    watching.said(ada, answer.id, "And the sea?")
    assert kept(sqlite_store) == []
    watching.said(ada, answer.id, "Thank you!")
    assert kept(sqlite_store) == ["thanks"]
    watching.left(ada, "")  # from an empty page
    eve = consent.consent(sqlite_store, sqlite_store.people.add("eve", "chatter", ""))
    watching.left(eve, answer.conversation_id)
    assert watching.before_message(eve, answer.conversation_id) is None
    assert kept(sqlite_store) == ["thanks"]


@pytest.mark.parametrize("text", ["Thanks!", "thank you so much", "Great, thx", "Danke dir", "Merci"])
def test_thanks(text: str) -> None:
    assert is_thanks(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Thanks, but that is wrong",
        "No thanks",
        "thanksgiving recipes",
        "Thanks. Now say how far the moon is away",
    ],
)
def test_no_thanks(text: str) -> None:
    assert not is_thanks(text)


@pytest.mark.parametrize(
    ("before", "after", "distance"),
    [("a b c", "a b c", 0.0), ("a b", "c d", 1.0), ("", "", 0.0), ("", "a", 1.0), ("a b c d", "a c d", 0.25)],
)
def test_edit_distance_is_the_share_of_words_that_changed(before: str, after: str, distance: float) -> None:
    assert edit_distance(before, after) == edit_distance(after, before) == distance


def test_its_examples_are_true() -> None:
    assert doctest.testmod(signals).failed == 0


def test_a_signal_that_cannot_be_kept_is_nobodys_problem(
    sqlite_store: Store, ada: Person, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> bool:
        raise Unavailable("The disk is full.")

    monkeypatch.setattr(sqlite_store.signals, "keep", broken)
    monkeypatch.setattr(sqlite_store.signals, "end", broken)
    answer = answered(sqlite_store, ada)
    Signals(sqlite_store, ALL).did(ada, Signal.COPY, answer.id)
    Signals(sqlite_store, ALL).said(ada, answer.id, "And now?")
    assert caplog.text.count("The disk is full") == 2


def test_a_program_is_told_why_a_signal_is_not_kept(sqlite_store: Store, ada: Person) -> None:
    answer = answered(sqlite_store, ada)
    some = Signals(sqlite_store, frozenset({Signal.COPY}))
    refusals: list[tuple[Callable[[], None], type[Exception], str]] = [
        (lambda: some.given(ada, Signal.RETRY, answer.id), NotAllowed, "retry are not kept here"),
        (lambda: some.given(ada, Signal.COPY, "nothing"), Conflict, "not kept"),
    ]
    for call, error, sentence in refusals:
        with pytest.raises(error, match=sentence):
            call()
    some.given(ada, Signal.COPY, answer.id)
    assert kept(sqlite_store) == ["copy"]
