"""Verdicts: what they may say, who may say it, and until when."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from feedback_app.collect.judge import (
    Choice,
    Verdict,
    compare_verdict,
    judge,
    like,
    rank_verdict,
    read_verdict,
    undo,
)
from feedback_app.errors import Conflict, NotAllowed, NotFound, UsageError
from feedback_app.store.database import Store
from feedback_app.store.tables import Person
from tests.fakes import Clock
from tests.feedback_app.builders import Shown, show


def live_verdict(store: Store, shown: Shown) -> dict[str, Any]:
    row = store.judgements.live(shown.id)
    assert row is not None
    return row.verdict


def test_a_like_is_stored_against_the_tickets_answer(sqlite_store: Store, ben: Person, clock: Clock) -> None:
    shown = show(sqlite_store, ben, "Paris.")
    clock.pass_s(4)
    verdict = like(shown.ticket, "good", reasons=["short", "short"], comment="nice", correction="It is Paris.")
    judged = judge(sqlite_store, ben, shown.id, verdict)
    (answer,) = shown.answer_ids
    assert live_verdict(sqlite_store, shown) == {
        "marks": {answer: "good"},
        "ranks": {},
        "strength": None,
        "cannot_judge": False,
        "reasons": ["short"],
        "comment": "nice",
        "corrections": {answer: "It is Paris."},
    }
    row = sqlite_store.judgements.get(judged.judgement_id)
    assert row is not None
    assert row.seconds == 4


def test_the_same_verdict_twice_is_one_judgement_and_a_change_names_the_old_one(
    sqlite_store: Store, ben: Person
) -> None:
    shown = show(sqlite_store, ben, "Paris.")
    first = judge(sqlite_store, ben, shown.id, like(shown.ticket, "good"))
    assert judge(sqlite_store, ben, shown.id, like(shown.ticket, "good")) == first
    with pytest.raises(Conflict):
        judge(sqlite_store, ben, shown.id, like(shown.ticket, "bad"))
    changed = judge(sqlite_store, ben, shown.id, like(shown.ticket, "bad"), supersedes=first.judgement_id)
    assert changed.judgement_id != first.judgement_id
    assert live_verdict(sqlite_store, shown)["marks"] == {shown.answer_ids[0]: "bad"}


def test_undo_takes_back_ones_own_judgement_only(sqlite_store: Store, ada: Person, ben: Person) -> None:
    shown = show(sqlite_store, ben, "Paris.")
    judged = judge(sqlite_store, ben, shown.id, like(shown.ticket, "good"))
    with pytest.raises(NotFound):
        undo(sqlite_store, ada, judged.judgement_id)
    with pytest.raises(NotFound):
        undo(sqlite_store, ben, "made up")
    first = undo(sqlite_store, ben, judged.judgement_id)
    assert undo(sqlite_store, ben, judged.judgement_id) == first
    assert sqlite_store.judgements.live(shown.id) is None
    again = judge(sqlite_store, ben, shown.id, like(shown.ticket, "good"))
    with pytest.raises(Conflict):
        undo(sqlite_store, ben, judged.judgement_id)
    assert sqlite_store.judgements.get(again.judgement_id) == sqlite_store.judgements.live(shown.id)


def test_foreign_and_unknown_tickets_are_refused(sqlite_store: Store, ada: Person, ben: Person) -> None:
    shown = show(sqlite_store, ada, "Paris.")
    for ticket_id in (shown.id, "made up"):
        with pytest.raises(NotFound):
            judge(sqlite_store, ben, ticket_id, like(shown.ticket, "good"))
    assert sqlite_store.judgements.watermark() == 0


def test_an_expired_ticket_takes_no_new_verdict_but_knows_the_old_one(
    sqlite_store: Store, ben: Person, clock: Clock
) -> None:
    judged_in_time, too_late = show(sqlite_store, ben, "Paris.", ttl_s=60), show(sqlite_store, ben, "Rome.", ttl_s=60)
    first = judge(sqlite_store, ben, judged_in_time.id, like(judged_in_time.ticket, "good"))
    clock.pass_s(60)
    with pytest.raises(Conflict, match="could be judged until"):
        judge(sqlite_store, ben, too_late.id, like(too_late.ticket, "good"))
    with pytest.raises(Conflict):
        judge(
            sqlite_store,
            ben,
            judged_in_time.id,
            like(judged_in_time.ticket, "bad"),
            supersedes=first.judgement_id,
        )
    assert judge(sqlite_store, ben, judged_in_time.id, like(judged_in_time.ticket, "good")) == first
    undo(sqlite_store, ben, first.judgement_id)
    assert sqlite_store.judgements.live(judged_in_time.id) is None


def test_comparing_and_ranking_need_an_annotator(sqlite_store: Store, ben: Person) -> None:
    for texts in (["a", "b"], ["a", "b", "c"]):
        shown = show(sqlite_store, ben, *texts)
        with pytest.raises(NotAllowed):
            judge(sqlite_store, ben, shown.id, {"cannot_judge": True})


@pytest.mark.parametrize(
    ("choice", "ranks", "strength", "marks", "cannot"),
    [
        ("a_clearly", {"a": 1, "b": 2}, "clearly", {}, False),
        ("a_slightly", {"a": 1, "b": 2}, "slightly", {}, False),
        ("tie", {"a": 1, "b": 1}, None, {}, False),
        ("b_slightly", {"a": 2, "b": 1}, "slightly", {}, False),
        ("b_clearly", {"a": 2, "b": 1}, "clearly", {}, False),
        ("both_bad", {}, None, {"a": "bad", "b": "bad"}, False),
        ("cant", {}, None, {}, True),
    ],
)
def test_every_key_is_one_verdict(
    sqlite_store: Store,
    ada: Person,
    choice: Choice,
    ranks: dict[str, int],
    strength: str | None,
    marks: dict[str, str],
    cannot: bool,
) -> None:
    verdict = compare_verdict(["a", "b"], choice)
    assert (verdict.ranks, verdict.strength, verdict.marks, verdict.cannot_judge) == (ranks, strength, marks, cannot)
    shown = show(sqlite_store, ada)
    stored = judge(sqlite_store, ada, shown.id, compare_verdict(shown.ticket.order, choice))
    assert sqlite_store.judgements.get(stored.judgement_id) is not None


def test_there_are_seven_keys_and_no_other() -> None:
    assert len(get_args(Choice)) == 7
    with pytest.raises(UsageError, match="no choice c_clearly"):
        compare_verdict(["a", "b"], "c_clearly")  # type: ignore[arg-type]


def test_a_pair_may_also_be_marked_and_corrected(sqlite_store: Store, ada: Person) -> None:
    shown = show(sqlite_store, ada)
    a, b = shown.ticket.order
    verdict = compare_verdict(shown.ticket.order, "a_slightly", a_mark="good", b_mark="bad", corrections={b: "Better."})
    judge(sqlite_store, ada, shown.id, verdict)
    stored = live_verdict(sqlite_store, shown)
    assert stored["marks"] == {a: "good", b: "bad"}
    assert stored["corrections"] == {b: "Better."}


def test_ranks_are_stored_without_gaps(sqlite_store: Store, ada: Person) -> None:
    shown = show(sqlite_store, ada, "a", "b", "c", "d")
    first = judge(sqlite_store, ada, shown.id, rank_verdict(shown.ticket.order, [3, 7, 7, 9]))
    assert list(live_verdict(sqlite_store, shown)["ranks"].values()) == [1, 2, 2, 3]
    assert judge(sqlite_store, ada, shown.id, rank_verdict(shown.ticket.order, [1, 2, 2, 3])) == first
    with pytest.raises(UsageError, match="4 answers and 3"):
        rank_verdict(shown.ticket.order, [1, 2, 3])


@pytest.mark.parametrize(
    ("texts", "verdict", "sentence"),
    [
        (["x"], {}, "says nothing"),
        (["x"], {"comment": "hm"}, "says nothing"),
        (["x"], {"ranks": {"0": 1}}, "cannot be ranked"),
        (["x"], {"marks": {"elsewhere": "good"}}, "does not show"),
        (["x"], {"corrections": {"elsewhere": "text"}}, "does not show"),
        (["x", "y"], {}, "Rank every answer"),
        (["x", "y"], {"ranks": {"0": 1}}, "Rank every answer"),
        (["x", "y"], {"marks": {"0": "bad"}}, "Rank every answer"),
        (["x", "y"], {"marks": {"0": "bad", "1": "good"}}, "Rank every answer"),
        (["x", "y"], {"ranks": {"0": 1, "1": 1}, "strength": "clearly"}, "no strength"),
        (["x", "y"], {"ranks": {"0": 1, "1": 2}, "cannot_judge": True}, "cannot judge has no"),
        (["x", "y", "z"], {"marks": {"0": "bad", "1": "bad", "2": "bad"}}, "Rank every answer"),
    ],
)
def test_a_verdict_that_does_not_fit_its_ticket_is_refused(
    sqlite_store: Store, ada: Person, texts: list[str], verdict: dict[str, Any], sentence: str
) -> None:
    shown = show(sqlite_store, ada, *texts)
    ids = dict(zip("012", shown.answer_ids, strict=False))
    named = {
        key: {ids.get(id, id): what for id, what in value.items()} if isinstance(value, dict) else value
        for key, value in verdict.items()
    }
    with pytest.raises(UsageError, match=sentence):
        judge(sqlite_store, ada, shown.id, named)
    assert sqlite_store.judgements.watermark() == 0


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ({"kind": "withdrawn"}, "kind"),
        ({"marks": {"a": "superb"}}, "marks.a"),
        ({"ranks": {"a": 0}}, "ranks.a"),
        ({"strength": "wildly"}, "strength"),
        ({"comment": "x" * 4001}, "comment"),
        ({"corrections": {"a": ""}}, "corrections.a"),
        ("good", "verdict"),
        (None, "verdict"),
    ],
)
def test_a_verdict_that_cannot_be_read_names_its_field(raw: Any, field: str) -> None:
    with pytest.raises(UsageError, match=f"cannot be read: {field}"):
        read_verdict(raw)


def test_text_that_no_database_keeps_is_cleaned() -> None:
    verdict = Verdict(comment="a\x00b\ud800c", corrections={"x": "\x00fine"})
    assert verdict.comment == "ab?c"
    assert verdict.corrections == {"x": "fine"}
