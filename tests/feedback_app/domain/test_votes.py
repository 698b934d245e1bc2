"""Which votes count, and how they are tallied."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.stats import wilson_interval
from feedback_app.domain.votes import Outcome, Promote, Tally, Vote, counting, tally

VOTES = st.lists(st.builds(Vote, st.sampled_from(Outcome), st.booleans()))


def test_only_the_first_votes_count_and_scripted_ones_may_be_left_out() -> None:
    votes = [
        Vote(Outcome.WIN, True),
        Vote(Outcome.LOSS, False),
        Vote(Outcome.NONE, False),
        Vote(Outcome.TIE, False),
        Vote(Outcome.WIN, False),
    ]
    assert tally(votes, 3, scripted_count=True) == Tally(1, 1, 1)
    assert tally(votes, 60, scripted_count=False) == Tally(1, 1, 1)


@given(VOTES, st.integers(1, 20), VOTES)
def test_votes_after_the_needed_ones_change_nothing(votes: list[Vote], needed: int, later: list[Vote]) -> None:
    first = tally(votes, needed, scripted_count=True)
    assert first.n <= needed
    if first.n == needed:
        assert tally(votes + later, needed, scripted_count=True) == first


@given(VOTES, st.integers(1, 20))
def test_scripted_votes_never_count_as_evidence(votes: list[Vote], needed: int) -> None:
    real = [vote for vote in votes if not vote.scripted]
    assert counting(votes, needed, scripted_count=False) == counting(real, needed, scripted_count=True)
    assert tally(votes, needed, scripted_count=False) == tally(real, needed, scripted_count=True)


def test_scripted_votes_promote_unless_a_promotion_needs_evidence() -> None:
    assert [mode for mode in Promote if mode.counts_scripted] == [Promote.MANUAL, Promote.ON_PASS]


def test_a_tie_is_half_a_win() -> None:
    counted = Tally(wins=3, losses=1, ties=2)
    assert (counted.n, counted.decided, counted.score) == (6, 4, 4.0)
    assert counted.win_rate == pytest.approx(4 / 6)
    assert counted.interval == wilson_interval(4, 6)


def test_nothing_counted_says_nothing() -> None:
    assert (Tally().win_rate, Tally().interval) == (0.5, (0.0, 1.0))
