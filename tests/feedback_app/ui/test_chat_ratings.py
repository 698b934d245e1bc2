"""Each click changes one thing about the verdict that stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from feedback_app.errors import NotFound, UsageError
from feedback_app.ui.chat_ratings import change, rate
from tests.feedback_app.builders import show

if TYPE_CHECKING:
    from feedback_app.store.database import Store

GOOD = {"marks": {"m": "good"}, "reasons": ["Clear"], "comment": "nice", "corrections": {}}


def test_a_first_thumb_is_a_mark() -> None:
    assert change({}, "m", "Paris.", {"do": "mark", "mark": "bad"}) == {"marks": {"m": "bad"}, "reasons": []}


def test_the_same_thumb_again_takes_everything_back() -> None:
    assert change(GOOD, "m", "Paris.", {"do": "mark", "mark": "good"}) is None


def test_the_other_thumb_drops_reasons_that_were_about_the_first() -> None:
    changed = change(GOOD, "m", "Paris.", {"do": "mark", "mark": "bad"})
    assert changed is not None
    assert (changed["marks"], changed["reasons"], changed["comment"]) == ({"m": "bad"}, [], "nice")


def test_taking_a_mark_back_keeps_a_correction() -> None:
    stands = {**GOOD, "corrections": {"m": "It is Paris."}}
    changed = change(stands, "m", "Paris.", {"do": "mark", "mark": "good"})
    assert changed is not None
    assert (changed["marks"], changed["corrections"]) == ({}, {"m": "It is Paris."})


def test_a_reason_switches_on_and_off() -> None:
    on = change(GOOD, "m", "", {"do": "reason", "reason": "Friendly"})
    assert on is not None
    assert on["reasons"] == ["Clear", "Friendly"]
    off = change(on, "m", "", {"do": "reason", "reason": "Clear"})
    assert off is not None
    assert off["reasons"] == ["Friendly"]


@pytest.mark.parametrize("act", [{"do": "reason", "reason": "Clear"}, {"do": "comment", "comment": "x"}])
def test_saying_more_needs_a_mark(act: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="Like or dislike"):
        change({}, "m", "", act)


@pytest.mark.parametrize("text", ["", "  ", "Paris. "])
def test_a_correction_must_change_something(text: str) -> None:
    with pytest.raises(UsageError, match="same as the answer"):
        change({}, "m", "Paris.", {"do": "correct", "correction": text})


def test_the_store_holds_what_was_clicked_and_undo_leaves_nothing(sqlite_store: Store) -> None:
    ada = sqlite_store.people.add("ada", "chatter", "")
    shown = show(sqlite_store, ada, "Paris.")
    act = {"do": "mark", "mark": "good", "ticket": shown.id}
    rate(sqlite_store, ada, act)
    live = sqlite_store.judgements.live(shown.id)
    assert live is not None
    assert live.verdict["marks"] == {shown.answer_ids[0]: "good"}
    rate(sqlite_store, ada, act)
    assert sqlite_store.judgements.live(shown.id) is None


def test_what_is_judged_comes_from_the_ticket_and_only_its_owner_may(sqlite_store: Store) -> None:
    ada = sqlite_store.people.add("ada", "chatter", "")
    eve = sqlite_store.people.add("eve", "operator", "")
    shown = show(sqlite_store, ada, "Paris.")
    with pytest.raises(NotFound):
        rate(sqlite_store, eve, {"do": "mark", "mark": "bad", "ticket": shown.id, "message": shown.answer_ids[0]})
    assert sqlite_store.judgements.counts()["total"] == 0
