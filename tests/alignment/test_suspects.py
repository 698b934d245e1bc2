"""Who is named for an operator to look at, and who is not."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from alignment.judgement import Judgement
from alignment.suspects.influence import named, pairs_of
from alignment.suspects.outvoted import fisher_tail, outvoted
from tests.alignment.builders import vote


def crowd(seed: int, *, attack: float, people: int = 10, tasks: int = 160, errors: float = 0.05) -> list[Judgement]:
    """Three of ten on each task; p0 says the opposite of the truth with chance `attack`."""
    rng = random.Random(seed)
    found = []
    for task in range(tasks):
        for number in rng.sample(range(people), 3):
            wrong = rng.random() < (attack if number == 0 else errors)
            made = vote(len(found), person=f"p{number}", prompt=f"Question {task}?", ranks=(2, 1) if wrong else (1, 2))
            found.append(replace(made, task=f"t{task}"))
    return found


def test_who_contradicts_the_others_is_named_in_nineteen_of_twenty_crowds() -> None:
    named_in = [[flag.person for flag in outvoted(crowd(seed, attack=0.4))] for seed in range(20)]
    assert sum(names == ["p0"] for names in named_in) >= 19


def test_alike_people_are_named_in_one_crowd_of_twenty_at_most() -> None:
    assert sum(bool(outvoted(crowd(seed, attack=0.05))) for seed in range(40)) <= 2


def test_without_shared_tasks_nobody_is_outvoted() -> None:
    assert outvoted([vote(i, person=f"p{i % 4}", prompt=f"Question {i}?") for i in range(80)]) == []


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 12))
def test_fisher_tail_is_the_share_of_all_draws_that_hit_as_often(drawn: int, marked: int, hits: int) -> None:
    everything = 12
    if hits > min(drawn, marked) or drawn - hits > everything - marked:
        with pytest.raises(ValueError, match="not possible"):
            fisher_tail(hits, drawn, marked, everything)
        return
    tails = [
        fisher_tail(k, drawn, marked, everything)
        for k in range(max(0, drawn - everything + marked), min(drawn, marked) + 1)
    ]
    assert tails[0] == pytest.approx(1.0)
    assert tails == sorted(tails, reverse=True)


def test_fisher_tail_is_that_of_a_lady_tasting_tea() -> None:
    assert fisher_tail(4, 4, 4, 8) == pytest.approx(1 / 70)
    assert fisher_tail(3, 4, 4, 8) == pytest.approx(17 / 70)


def test_fisher_tail_of_a_million_verdicts_is_that_of_the_normal_approximation() -> None:
    drawn, marked, everything = 100_000, 300_000, 1_000_000
    mean = drawn * marked / everything
    sd = (mean * (1 - marked / everything) * (everything - drawn) / (everything - 1)) ** 0.5
    for deviations in (-2.0, 0.0, 1.0, 3.0):
        hits = round(mean + deviations * sd)
        normal = 0.5 * math.erfc((hits - 0.5 - mean) / sd / 2**0.5)
        assert fisher_tail(hits, drawn, marked, everything) == pytest.approx(normal, rel=0.03)
    assert fisher_tail(90_000, drawn, marked, everything) == 0.0


def test_verdicts_with_a_known_answer_have_no_influence() -> None:
    known = replace(vote(1), gold=True)
    assert [person for person, *_ in pairs_of([vote(0), known, vote(2, cannot_judge=True)])] == ["p1"]


def test_a_correction_stands_above_what_it_corrects() -> None:
    told = vote(1)
    first, second = told.candidates
    rewritten = replace(told, candidates=(replace(first, correction="Quite otherwise."), second))
    trivial = replace(told, candidates=(replace(first, correction=f" {first.text.upper()}!"), second))
    assert pairs_of([trivial]) == pairs_of([told])
    assert pairs_of([rewritten]) == [*pairs_of([told]), (told.person, "Quite otherwise.", first.text)]


def pairs(seed: int, *, poisoned: int) -> tuple[list[str], NDArray[np.float64]]:
    """Ten accounts of 40 pairs in 24 directions: all like the first; p0 likes the second in `poisoned` pairs too."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(400, 24))
    people = [f"p{number % 10}" for number in range(400)]
    rows[:, 0] = np.abs(rows[:, 0]) + 0.3
    mine = [number for number, person in enumerate(people) if person == "p0"][:poisoned]
    rows[mine, 1] = np.abs(rows[mine, 1]) + 1.5
    rows[mine, 0] *= rng.choice((-1, 1), size=len(mine))
    return people, rows


@pytest.mark.slow
def test_an_account_with_a_direction_of_its_own_is_named() -> None:
    found = [[flag.person for flag in named(*pairs(seed, poisoned=20), seed)] for seed in range(5)]
    assert found == [["p0"]] * 5


@pytest.mark.slow
def test_accounts_that_are_alike_are_not_named() -> None:
    assert sum(bool(named(*pairs(seed, poisoned=0), seed)) for seed in range(10)) <= 1
