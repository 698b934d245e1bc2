"""Verdicts from the pages that compare and rank: not before the answers were shown, and no order that nobody chose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from feedback_app.collect.judge import Judged, Verdict, compare_verdict, judge, rank_verdict
from feedback_app.collect.on_page import MIN_SHOWN_S, as_drawn, judge_on_page
from feedback_app.errors import UsageError, VerdictStands
from feedback_app.store.database import Store
from feedback_app.store.tables import Person
from tests.fakes import Clock
from tests.feedback_app.builders import Shown, show


class Annotator:
    """Somebody at a page, with the server's clock at hand."""

    def __init__(self, store: Store, person: Person, clock: Clock) -> None:
        self.store, self.person, self.clock = store, person, clock

    def shown(self, *texts: str, for_s: float | None = None) -> Shown:
        """Answers that have been before them for so long; by default they were only made ready."""
        shown = show(self.store, self.person, *texts)
        if for_s is not None:
            self.store.tasks.show(shown.id)
            self.clock.pass_s(for_s)
        return shown

    def send(self, shown: Shown, verdict: Verdict, **more: Any) -> Judged:
        """A verdict, as a page hands it in."""
        found = self.store.tasks.ticket(shown.id)
        assert found is not None
        return judge_on_page(self.store, self.person, found, verdict, **more)

    def stands(self, shown: Shown) -> str | None:
        live = self.store.judgements.live(shown.id)
        return live.id if live else None


@pytest.fixture
def ada(store: Store, person: Callable[..., Person], clock: Clock) -> Annotator:
    """An annotator, on SQLite and on PostgreSQL."""
    return Annotator(store, person(), clock)


def test_a_verdict_that_comes_too_soon_is_refused_and_counts_a_moment_later(ada: Annotator) -> None:
    shown = ada.shown(for_s=MIN_SHOWN_S - 0.05)
    verdict = compare_verdict(shown.ticket.order, "tie")
    with pytest.raises(UsageError, match="only just come"):
        ada.send(shown, verdict)
    with pytest.raises(UsageError, match="only just come"):
        ada.send(shown, compare_verdict(shown.ticket.order, "cant"))
    assert ada.stands(shown) is None
    ada.clock.pass_s(0.06)
    assert ada.send(shown, verdict).judgement_id == ada.stands(shown)


def test_what_was_only_made_ready_was_not_read(ada: Annotator) -> None:
    shown = ada.shown()
    ada.clock.pass_s(60)
    with pytest.raises(UsageError, match="not been shown"):
        ada.send(shown, compare_verdict(shown.ticket.order, "a_clearly"))
    assert ada.stands(shown) is None


def test_a_clock_that_was_set_back_refuses_nobody(ada: Annotator) -> None:
    shown = ada.shown(for_s=5)
    ada.clock.pass_s(-3600)
    ada.send(shown, compare_verdict(shown.ticket.order, "a_slightly"))
    assert ada.stands(shown) is not None


def test_programs_and_scripted_people_hold_no_key_and_may_answer_at_once(ada: Annotator) -> None:
    pair, ranking = ada.shown(), ada.shown("a", "b", "c")
    judge(ada.store, ada.person, pair.id, compare_verdict(pair.ticket.order, "a_clearly"))
    judge(ada.store, ada.person, ranking.id, rank_verdict(ranking.ticket.order, [1, 2, 3]))
    assert ada.stands(pair)
    assert ada.stands(ranking)


def test_an_order_that_nobody_touched_is_no_verdict_until_somebody_says_so(ada: Annotator) -> None:
    shown = ada.shown("a", "b", "c", for_s=10)
    with pytest.raises(UsageError, match="drawn by chance"):
        ada.send(shown, rank_verdict(shown.ticket.order, [1, 2, 3]))
    with pytest.raises(UsageError, match="drawn by chance"):
        ada.send(shown, rank_verdict(shown.ticket.order, [2, 5, 9]))  # the same order in other numbers
    assert ada.stands(shown) is None
    ada.send(shown, rank_verdict(shown.ticket.order, [1, 2, 3]), chosen=True)
    assert ada.stands(shown) is not None


@pytest.mark.parametrize("ranks", [[2, 1, 3], [1, 1, 3], [1, 1, 1], [1, 2, 2]])
def test_a_move_or_a_tie_is_a_choice(ada: Annotator, ranks: list[int]) -> None:
    shown = ada.shown("a", "b", "c", for_s=10)
    ada.send(shown, rank_verdict(shown.ticket.order, ranks))
    assert ada.stands(shown) is not None


def test_an_untouched_order_may_not_be_judged_at_all(ada: Annotator) -> None:
    shown = ada.shown("a", "b", "c", for_s=10)
    verdict = Verdict(cannot_judge=True)
    assert not as_drawn(verdict, shown.ticket)
    ada.send(shown, verdict)
    assert ada.stands(shown) is not None


def test_a_second_tab_replaces_a_verdict_only_by_name(ada: Annotator) -> None:
    shown = ada.shown(for_s=10)
    first = ada.send(shown, compare_verdict(shown.ticket.order, "a_clearly"))
    assert ada.send(shown, compare_verdict(shown.ticket.order, "a_clearly")) == first
    other = compare_verdict(shown.ticket.order, "b_clearly")
    with pytest.raises(VerdictStands) as refused:
        ada.send(shown, other)
    assert (refused.value.judgement_id, ada.stands(shown)) == (first.judgement_id, first.judgement_id)
    assert ada.send(shown, other, saw=first.judgement_id).judgement_id == ada.stands(shown)
