"""The statistics, against exact values, known tables and simulation."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.stats import binomial_tail, paired_loss_upper, wilson_interval


def test_the_binomial_tail_is_exact() -> None:
    assert binomial_tail(0, 10) == 1.0
    assert binomial_tail(10, 10) == 2**-10
    assert binomial_tail(37, 60) == pytest.approx(0.0462306, abs=1e-6)
    assert binomial_tail(36, 60) == pytest.approx(0.0775013, abs=1e-6)
    assert binomial_tail(0, 0) == 1.0


@given(st.integers(0, 200), st.integers(0, 200))
def test_the_tails_of_both_sides_cover_everything(wins: int, losses: int) -> None:
    trials = wins + losses
    both = binomial_tail(wins, trials) + binomial_tail(losses, trials)
    assert both == pytest.approx(1 + math.comb(trials, wins) / 2**trials)


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="not possible"):
        binomial_tail(3, 2)
    with pytest.raises(ValueError, match="not possible"):
        paired_loss_upper(3, 3, 5)


def test_wilson_matches_a_worked_example() -> None:
    low, high = wilson_interval(81, 263)  # Newcombe 1998, Statistics in Medicine 17:857, table I
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert wilson_interval(0, 0) == (0.0, 1.0)


@given(st.integers(1, 500), st.data())
def test_wilson_holds_the_share(trials: int, data: st.DataObject) -> None:
    wins = data.draw(st.integers(0, trials))
    low, high = wilson_interval(wins, trials)
    assert 0 <= low <= wins / trials + 1e-12
    assert wins / trials - 1e-12 <= high <= 1


@pytest.mark.parametrize(("lost", "gained"), [(1, 0), (0, 1), (12, 3), (3, 12), (20, 20), (0, 0), (150, 100)])
def test_at_the_paired_bound_the_score_is_the_quantile(lost: int, gained: int) -> None:
    """The score's nuisance share comes from a formula; here it is found again by maximising the likelihood."""
    n = 600
    bound = paired_loss_upper(lost, gained, n)

    def log_likelihood(q: float) -> float:
        cells = ((lost, q + bound), (gained, q), (n - lost - gained, 1 - 2 * q - bound))
        return sum(count * math.log(share) for count, share in cells if count)

    low, high = max(0.0, -bound) + 1e-12, (1 - bound) / 2 - 1e-12
    for _ in range(200):
        third = (high - low) / 3
        if log_likelihood(low + third) < log_likelihood(high - third):
            low += third
        else:
            high -= third
    q = (low + high) / 2
    score = (lost - gained - n * bound) / math.sqrt(n * (q + bound + q - bound**2))
    assert score == pytest.approx(-1.6448536, abs=1e-4)


def test_no_questions_bound_nothing() -> None:
    assert paired_loss_upper(0, 0, 0) == 1.0


def test_no_discordant_answers_still_leave_doubt() -> None:
    few, many = paired_loss_upper(0, 0, 50), paired_loss_upper(0, 0, 600)
    assert 0 < many < few
    assert many == pytest.approx(1.6448536**2 / (600 + 1.6448536**2), rel=1e-6)


@given(st.integers(0, 40), st.integers(0, 40))
def test_the_bound_grows_with_losses_and_shrinks_with_gains(lost: int, gained: int) -> None:
    bound = paired_loss_upper(lost, gained, 600)
    assert bound >= (lost - gained) / 600
    assert paired_loss_upper(lost + 1, gained, 600) > bound
    assert paired_loss_upper(lost, gained + 1, 600) < bound + 1e-9 + 1 / 600


@pytest.mark.parametrize(("p_lost", "p_gained"), [(0.02, 0.02), (0.05, 0.01), (0.10, 0.10)])
def test_the_bound_covers_the_true_loss_95_times_in_100(p_lost: float, p_gained: float) -> None:
    rng = random.Random(11)
    runs, covered = 1500, 0
    for _ in range(runs):
        lost = gained = 0
        for _ in range(200):
            u = rng.random()
            lost += u < p_lost
            gained += p_lost <= u < p_lost + p_gained
        covered += paired_loss_upper(lost, gained, 200) >= p_lost - p_gained
    assert 0.925 <= covered / runs <= 0.985
