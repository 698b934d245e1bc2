"""The watch over a run: it stops when the peak is behind, and goes back to it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.methods.ppo.overoptimization import BUDGET, Milestone, Watch, posterior, preferred
from alignment.stage.people_channel import Votes


def followed(height: float, place: float, seed: int, distances: list[float]) -> tuple[Watch, Milestone]:
    """A run whose true curve is known, judged by people who answer at random around it."""
    rng = random.Random(seed)

    def judge(milestone: Milestone, judgements: int) -> Votes:
        chance = float(preferred(height, place, milestone.distance))
        more = sum(rng.random() < chance for _ in range(judgements - milestone.judged))
        return Votes(milestone.wins + more, judgements)

    watch = Watch(judge)
    for step, distance in enumerate(distances):
        if watch.see(Milestone(step, distance**2, proxy=distance)):
            break
    return watch, watch.choose()


DISTANCES = [0.5 * k for k in range(1, 21)]


@pytest.mark.parametrize("place", [1.5, 3.0])
def test_in_eight_of_ten_runs_it_goes_back_to_ninety_percent_of_the_peak(place: float) -> None:
    good = 0
    for seed in range(10):
        watch, chosen = followed(1.5, place, seed, DISTANCES)
        assert watch.spent <= BUDGET
        gains = [preferred(1.5, place, distance) - 0.5 for distance in DISTANCES]
        good += preferred(1.5, place, chosen.distance) - 0.5 >= 0.9 * max(gains)
    assert good >= 8


def test_a_clear_choice_is_not_paid_for_with_the_rest_of_the_budget() -> None:
    milestones = [Milestone(step, kl, 0.0) for step, kl in enumerate((0.01, 9.0, 900.0))]
    watch = Watch(
        lambda each, judgements: Votes(judgements * float(preferred(3.0, 3.0, each.distance)), judgements), budget=400
    )
    for milestone in milestones:
        watch.see(milestone)
    assert watch.choose().step == 1
    assert watch.spent < 100


def test_every_milestone_that_may_be_the_best_is_asked_about() -> None:
    milestones = [Milestone(step, float(step**2), 0.0, wins=3, judged=4) for step in (1, 2, 3)]
    watch = Watch(lambda each, judgements: Votes(0.75 * judgements, judgements), milestones=milestones)
    watch.choose()
    assert watch.spent == BUDGET
    assert all(each.judged >= 8 for each in watch.milestones)


def test_a_run_that_only_gets_better_is_left_alone_until_the_budget_is_spent() -> None:
    watch, chosen = followed(2.0, 40.0, 1, DISTANCES)
    assert watch.spent == BUDGET
    assert chosen.step >= 10


def test_a_run_that_only_gets_worse_stops_soon_and_goes_back_to_its_first_milestone() -> None:
    watch = Watch(lambda milestone, judgements: Votes(0.0, judgements))
    seen = 0
    for step in range(20):
        seen += 1
        if watch.see(Milestone(step, (step + 1.0) ** 2, proxy=step)):
            break
    assert seen <= 4
    assert watch.choose() is watch.milestones[0]


def test_nobody_is_asked_more_often_than_the_budget_allows() -> None:
    asked: list[int] = []

    def judge(milestone: Milestone, judgements: int) -> Votes:
        asked.append(judgements - milestone.judged)
        return Votes(judgements / 2, judgements)

    watch = Watch(judge, budget=20)
    for step in range(5):
        if watch.see(Milestone(step, step + 1.0, proxy=0.0)):
            break
    watch.choose()
    assert sum(asked) == 20


def test_a_run_that_nobody_judges_goes_on_and_says_so() -> None:
    resting: list[int] = []
    watch = Watch(lambda milestone, judgements: Votes(), done=lambda: resting.append(1))
    assert not any(watch.see(Milestone(step, step + 1.0, proxy=0.0)) for step in range(40))
    watch.choose()
    assert (watch.spent, watch.why(), len(resting)) == (0, "", 41)


def test_fewer_answers_than_were_asked_for_count_as_they_are() -> None:
    watch = Watch(lambda milestone, judgements: Votes(1.5, 3, scripted=1), budget=8)
    assert not watch.see(Milestone(1, 1.0, proxy=0.0))
    (milestone,) = watch.milestones
    assert (milestone.wins, milestone.judged, milestone.scripted) == (1.5, 3, 1)
    assert watch.choose() is milestone
    assert watch.spent == 3


@given(
    st.lists(
        st.tuples(st.floats(0, 400), st.integers(0, 12), st.integers(0, 12)).filter(lambda each: each[1] <= each[2]),
        max_size=6,
    )
)
def test_the_posterior_is_a_probability_whatever_was_judged(judged: list[tuple[float, int, int]]) -> None:
    *_, weight = posterior([Milestone(i, kl, 0.0, wins, count) for i, (kl, wins, count) in enumerate(judged)])
    assert weight.sum() == pytest.approx(1.0)
    assert (weight >= 0).all()


def test_the_start_itself_is_preferred_half_the_time_and_the_peak_most() -> None:
    assert preferred(2.0, 3.0, 0.0) == 0.5
    chances = [preferred(2.0, 3.0, 0.25 * k) for k in range(40)]
    assert max(range(40), key=lambda k: chances[k]) == 12
