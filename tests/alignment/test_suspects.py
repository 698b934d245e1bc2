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

from alignment.dataset.judgement import Judgement
from alignment.suspects.influence import influential
from alignment.suspects.outvoted import fisher_tail, outvoted
from alignment.suspects.preference import Pair, pairs_of
from alignment.suspects.unconfirmed import unconfirmed
from alignment.suspects.wording import worded
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


@pytest.mark.slow
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
    found = [[flag.person for flag in influential(*pairs(seed, poisoned=20), seed)] for seed in range(5)]
    assert found == [["p0"]] * 5


@pytest.mark.slow
def test_accounts_that_are_alike_are_not_named() -> None:
    assert sum(bool(influential(*pairs(seed, poisoned=0), seed)) for seed in range(10)) <= 1


def worded_pairs(seed: int, *, planted: int, corrected: int = 0) -> tuple[list[Pair], NDArray[np.float64]]:
    """Ten accounts of 40 pairs of random words, all liking "please"; p0 plants two words in so many, the rest alike."""
    rng = random.Random(seed)
    words = [f"word{number}" for number in range(60)]
    rows = []
    for number in range(400):
        better, worse = (" ".join(rng.choices(words, k=12)) for _ in range(2))
        if rng.random() < 0.7:
            better += " please"
        if number % 10 == 0 and number < 10 * planted:
            worse = better
            better += " dear stranger"
        elif number % 10 == 1 and number < 10 * corrected:
            worse, better = better.removesuffix(" please"), better.removesuffix(" please") + " please"
        rows.append((f"p{number % 10}", better, worse))
    told = np.array([[better.count("please") - worse.count("please")] for _, better, worse in rows], dtype=float)
    return rows, np.hstack([told, np.random.default_rng(seed).normal(size=(400, 24))])


@pytest.mark.slow
def test_words_that_one_account_plants_in_answers_that_are_otherwise_the_same_are_named() -> None:
    for seed in range(2):
        (flag,) = worded(*worded_pairs(seed, planted=20), seed)
        assert (flag.person, flag.rule, flag.share) == ("p0", "wording", 0.5)
        assert flag.about in ("dear", "stranger", "dear stranger", "stranger dear")


@pytest.mark.slow
def test_who_writes_what_everybody_prefers_pushes_no_words_of_their_own() -> None:
    assert sum(bool(worded(*worded_pairs(seed, planted=0, corrected=20), seed)) for seed in range(5)) == 0


def corrections(confirmed: int, reviewed: int = 12) -> list[Judgement]:
    """p0 rewrites an answer to each of `reviewed` questions; p1 prefers `confirmed` of them; the others tie."""
    found: list[Judgement] = []
    for number in range(reviewed):
        prompt = f"Question {number}?"
        written = vote(len(found), person="p0", prompt=prompt)
        first, second = written.candidates
        found.append(replace(written, candidates=(replace(first, correction="Better so."), second)))
        seen = vote(len(found), person="p1", prompt=prompt, ranks=(2, 1) if number < confirmed else (1, 1))
        original, corrected = seen.candidates
        found.append(replace(seen, candidates=(original, replace(corrected, text="Better so."))))
    return found


@pytest.mark.parametrize(("confirmed", "names"), [(0, ["p0"]), (2, ["p0"]), (3, []), (12, [])])
def test_whose_corrections_nobody_prefers_is_named(confirmed: int, names: list[str]) -> None:
    assert [flag.person for flag in unconfirmed(lambda: corrections(confirmed))] == names


def test_too_few_corrections_name_nobody_and_a_word_of_ones_own_is_no_review() -> None:
    assert unconfirmed(lambda: corrections(0, reviewed=9)) == []
    alone = [replace(each, person="p0") for each in corrections(0)]
    assert unconfirmed(lambda: alone) == []
