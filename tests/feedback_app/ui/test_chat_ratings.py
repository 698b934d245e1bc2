"""Each click changes one thing about the verdict that stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from feedback_app.collect.judge import Verdict
from feedback_app.domain.judging import Mark
from feedback_app.errors import NotFound, UsageError, VerdictStands
from feedback_app.ui.chat_ratings import change, rate
from tests.feedback_app.builders import Shown, show

if TYPE_CHECKING:
    from feedback_app.store.database import Store
    from feedback_app.store.tables import Person

GOOD = Verdict(marks={"m": Mark.GOOD}, reasons=["Clear"], comment="nice")
NONE = Verdict()


def test_a_first_thumb_is_a_mark() -> None:
    assert change(NONE, "m", "Paris.", {"do": "mark", "mark": "bad"}) == Verdict(marks={"m": Mark.BAD})


def test_an_empty_mark_takes_everything_back() -> None:
    assert change(GOOD, "m", "Paris.", {"do": "mark", "mark": ""}) is None


def test_the_same_thumb_again_changes_nothing() -> None:
    assert change(GOOD, "m", "Paris.", {"do": "mark", "mark": "good"}) == GOOD


@pytest.mark.parametrize("act", [{}, {"mark": None}, {"mark": False}, {"mark": "Good"}])
def test_what_is_no_mark_is_refused_and_never_a_dislike(act: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="good or bad"):
        change(NONE, "m", "Paris.", {"do": "mark", **act})


def test_the_other_thumb_drops_reasons_that_were_about_the_first() -> None:
    changed = change(GOOD, "m", "Paris.", {"do": "mark", "mark": "bad"})
    assert changed is not None
    assert (changed.marks, changed.reasons, changed.comment) == ({"m": "bad"}, [], "nice")


def test_taking_a_mark_back_keeps_a_correction() -> None:
    stands = GOOD.model_copy(update={"corrections": {"m": "It is Paris."}})
    changed = change(stands, "m", "Paris.", {"do": "mark", "mark": ""})
    assert changed is not None
    assert (changed.marks, changed.corrections) == ({}, {"m": "It is Paris."})


def test_a_reason_switches_on_and_off() -> None:
    on = change(GOOD, "m", "", {"do": "reason", "reason": "Friendly"})
    assert on is not None
    assert on.reasons == ["Clear", "Friendly"]
    off = change(on, "m", "", {"do": "reason", "reason": "Clear"})
    assert off is not None
    assert off.reasons == ["Friendly"]


@pytest.mark.parametrize("act", [{"do": "reason", "reason": "Clear"}, {"do": "comment", "comment": "x"}])
def test_saying_more_needs_a_mark(act: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="Like or dislike"):
        change(NONE, "m", "", act)


@pytest.mark.parametrize("text", ["", "  ", "Paris. "])
def test_a_correction_must_change_something(text: str) -> None:
    with pytest.raises(UsageError, match="same as the answer"):
        change(NONE, "m", "Paris.", {"do": "correct", "correction": text})


class Tab:
    """One tab of somebody's chat page: what it shows of one answer stays as it is until it is told."""

    def __init__(self, store: Store, person: Person, shown: Shown) -> None:
        self.store, self.person, self.shown = store, person, shown
        self.saw = ""

    def say(self, do: str, **more: str) -> None:
        """One click, and then what the page is told."""
        act = {"do": do, "ticket": self.shown.id, "message": self.shown.answer_ids[0], "saw": self.saw, **more}
        rate(self.store, self.person, act)
        live = self.store.judgements.live(self.shown.id)
        self.saw = live.id if live else ""

    @property
    def stands(self) -> dict[str, Any]:
        live = self.store.judgements.live(self.shown.id)
        return live.verdict if live else {}


@pytest.fixture
def tabs(store: Store, person: Callable[..., Person]) -> tuple[Tab, Tab]:
    """Two tabs of one person on the same answer, which nobody has rated yet."""
    ada = person("ada", "chatter")
    shown = show(store, ada, "Paris.")
    return Tab(store, ada, shown), Tab(store, ada, shown)


def test_the_store_holds_what_was_clicked_and_an_empty_mark_leaves_nothing(tabs: tuple[Tab, Tab]) -> None:
    tab, _ = tabs
    tab.say("mark", mark="good")
    assert tab.stands["marks"] == {tab.shown.answer_ids[0]: "good"}
    tab.say("mark", mark="")
    assert tab.stands == {}


def test_a_like_in_a_second_tab_is_the_same_like_and_takes_nothing_back(tabs: tuple[Tab, Tab]) -> None:
    first, stale = tabs
    first.say("mark", mark="good")
    stale.say("mark", mark="good")
    assert stale.stands["marks"] == {stale.shown.answer_ids[0]: "good"}
    assert stale.saw == first.saw


@pytest.mark.parametrize(
    ("do", "more"),
    [
        ("mark", {"mark": "bad"}),
        ("mark", {"mark": "good"}),  # would lose the reason that stands
        ("mark", {"mark": ""}),
        ("correct", {"correction": "It is Paris."}),
    ],
)
def test_a_tab_that_shows_no_rating_changes_none(tabs: tuple[Tab, Tab], do: str, more: dict[str, str]) -> None:
    first, stale = tabs
    first.say("mark", mark="good")
    first.say("reason", reason="Clear")
    stands = first.stands
    with pytest.raises(VerdictStands) as refused:
        stale.say(do, **more)
    assert refused.value.judgement_id == first.saw
    assert first.stands == stands
    stale.saw = first.saw  # the page shows what stands now
    stale.say("mark", mark="bad")
    assert stale.stands["marks"] == {stale.shown.answer_ids[0]: "bad"}


@pytest.mark.parametrize(
    ("do", "more"),
    [
        ("mark", {"mark": ""}),
        ("mark", {"mark": "bad"}),
        ("reason", {"reason": "Clear"}),
        ("comment", {"comment": "Nice."}),
        ("correct", {"correction": "It is Paris."}),
    ],
)
def test_a_tab_that_shows_an_older_rating_changes_nothing(tabs: tuple[Tab, Tab], do: str, more: dict[str, str]) -> None:
    first, stale = tabs
    first.say("mark", mark="good")
    stale.saw = first.saw
    first.say("reason", reason="Friendly")
    stands = first.stands
    with pytest.raises(VerdictStands):
        stale.say(do, **more)
    assert first.stands == stands


def test_saying_more_about_a_rating_that_was_taken_back_rates_nothing(tabs: tuple[Tab, Tab]) -> None:
    first, stale = tabs
    first.say("mark", mark="good")
    stale.saw = first.saw
    first.say("mark", mark="")
    with pytest.raises(VerdictStands):
        stale.say("comment", comment="Nice.")
    stale.say("mark", mark="")  # it was taken back already
    assert stale.stands == {}


def test_a_judgement_of_another_answer_is_not_taken_for_what_was_seen(tabs: tuple[Tab, Tab]) -> None:
    tab, _ = tabs
    other = Tab(tab.store, tab.person, show(tab.store, tab.person, "Rome."))
    other.say("mark", mark="bad")
    tab.saw = other.saw
    with pytest.raises(NotFound):
        tab.say("mark", mark="")
    assert other.stands["marks"] == {other.shown.answer_ids[0]: "bad"}


def test_what_is_judged_comes_from_the_ticket_and_only_its_owner_may(sqlite_store: Store) -> None:
    ada = sqlite_store.people.add("ada", "chatter", "")
    eve = sqlite_store.people.add("eve", "operator", "")
    shown = show(sqlite_store, ada, "Paris.")
    with pytest.raises(NotFound):
        rate(sqlite_store, eve, {"do": "mark", "mark": "bad", "ticket": shown.id, "message": shown.answer_ids[0]})
    assert sqlite_store.judgements.counts()["total"] == 0
