"""How far a person's judgements are relied on, and how much of the whole one person may be."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from alignment.dataset.compile import Rules
from alignment.dataset.compile.cap import most_share, person_factors
from alignment.dataset.compile.reliability import DISAGREEMENT_FLOOR, FLOOR, Known, person_weights, weight_of
from alignment.dataset.compile.survey import Survey
from alignment.dataset.judgement import Judgement, Mark
from alignment.dataset.rows import Row
from tests.alignment.builders import any_judgements, like, vote
from tests.alignment.compiled import compile_rows


def weights(judgements: list[Judgement]) -> dict[str, float]:
    survey = Survey()
    for judgement in judgements:
        survey.see(judgement)
    return person_weights(survey.ballots)


def right_votes(person: str, count: int, *, first: int = 0, gold: bool | None = None) -> list[Judgement]:
    return [replace(vote(first + i, person=person, prompt=f"Question {i}?"), gold=gold) for i in range(count)]


def test_nobody_is_known_so_everybody_weighs_one() -> None:
    assert weights([*right_votes("a", 30), *right_votes("b", 7, first=100)]) == {"a": 1.0, "b": 1.0}


def test_failed_gold_lowers_the_weight_to_the_floor_and_passed_gold_raises_it() -> None:
    judged = [*right_votes("good", 60, gold=True), *right_votes("bad", 60, first=100, gold=False)]
    found = weights([*judged, *right_votes("new", 60, first=200)])
    assert found["good"] > found["new"] > found["bad"]
    assert weight_of(Known(trials=60, right=0)) == FLOOR
    assert weight_of(Known(trials=60, right=60)) > 0.95


def test_without_reliability_everybody_weighs_the_same() -> None:
    gold = [*right_votes("good", 60, gold=True), *right_votes("bad", 60, first=100, gold=False)]
    judged = [*gold, *right_votes("good", 60, first=200), *right_votes("bad", 60, first=300)]
    weighed, alike = (compile_rows(judged, rules=Rules(reliability=on)).pairs for on in (True, False))
    assert len({row.weight for row in weighed}) == 2
    assert len({row.weight for row in alike}) == 1


def test_who_answers_the_same_thing_differently_weighs_less() -> None:
    def repeated(person: str, first: int, flips: bool) -> list[Judgement]:
        judgements = []
        for i in range(40):
            for again in (0, 1):
                ranks = (2, 1) if again and flips and i % 2 else (1, 2)
                judgement = vote(first + 2 * i + again, person=person, prompt=f"{i}?", ranks=ranks)
                judgements.append(replace(judgement, task=f"{person}{i}"))
        return judgements

    found = weights([*repeated("steady", 0, False), *repeated("blind", 100, True)])
    assert found["blind"] < 0.35 * found["steady"]


def test_mere_disagreement_never_goes_below_a_half() -> None:
    for agreed in range(0, 101, 5):
        assert weight_of(Known(shared=100, agreed=agreed)) >= DISAGREEMENT_FLOOR
    assert weight_of(Known(trials=50, right=27, shared=100, agreed=50)) < DISAGREEMENT_FLOOR  # gold had lowered it
    assert weight_of(Known(shared=100, agreed=95)) > weight_of(Known())


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_the_weight_of_what_is_known_is_a_law(trials: int, right: int, shared: int, agreed: int) -> None:
    assume(right <= trials and agreed <= shared)
    known = Known(trials, right, shared, agreed)
    weight = weight_of(known)
    assert FLOOR <= weight <= 1.0
    alone = weight_of(Known(trials, right))
    assert weight >= min(alone, DISAGREEMENT_FLOOR)  # others' opinions lower nobody further
    if right < trials:
        assert weight_of(replace(known, right=right + 1)) >= weight


def test_random_clickers_among_others_weigh_about_half() -> None:
    draw = random.Random(7)
    judgements: list[Judgement] = []
    for task in range(200):
        for person in draw.sample(range(10), 3):
            wrong = draw.random() < (0.5 if person < 5 else 0.05)
            judgement = vote(len(judgements), person=f"p{person}", prompt=f"{task}?", ranks=(2, 1) if wrong else (1, 2))
            judgements.append(replace(judgement, task=f"t{task}"))
    found = weights(judgements)
    clickers, others = [found[f"p{i}"] for i in range(5)], [found[f"p{i}"] for i in range(5, 10)]
    assert max(clickers) < 0.75 * min(others)
    mean = sum(found[judgement.person] for judgement in judgements) / len(judgements)
    assert mean == pytest.approx(1.0)


def test_a_few_different_opinions_change_nothing() -> None:
    judgements = [replace(vote(i, person=f"p{i}", ranks=(2, 1) if i == 2 else (1, 2)), task="shared") for i in range(3)]
    assert set(weights(judgements).values()) == {1.0}


_amounts = st.dictionaries(st.sampled_from([f"p{i}" for i in range(25)]), st.floats(0.001, 1000.0), min_size=1)


@given(_amounts)
def test_nobody_has_more_than_the_limit_and_who_has_less_keeps_it(amounts: dict[str, float]) -> None:
    factors = person_factors(amounts)
    limit = most_share(len(amounts))
    scaled = {person: amounts[person] * factors[person] for person in amounts}
    total = sum(scaled.values())
    for person, weight in scaled.items():
        assert 0.0 < factors[person] <= 1.0 + 1e-9
        assert weight <= limit * total * (1 + 1e-6)
        if factors[person] != 1.0:
            assert weight == pytest.approx(limit * total, rel=1e-6)


@given(_amounts)
def test_applying_the_limit_again_changes_nothing(amounts: dict[str, float]) -> None:
    factors = person_factors(amounts)
    again = person_factors({person: amounts[person] * factors[person] for person in amounts})
    assert all(factor == pytest.approx(1.0, abs=1e-6) for factor in again.values())


@pytest.mark.parametrize(("people", "share"), [(1, 1.5), (2, 0.75), (10, 0.15), (15, 0.1), (40, 0.1)])
def test_the_limit_depends_on_how_many_there_are(people: int, share: float) -> None:
    assert most_share(people) == pytest.approx(share)


def test_one_busy_person_of_a_snapshot_is_scaled_down() -> None:
    judgements = right_votes("busy", 400)
    for number in range(11):
        judgements += right_votes(f"p{number}", 10, first=1000 + 20 * number)
    compiled = compile_rows(judgements)
    owner = {judgement.id: judgement.person for judgement in judgements}
    total = sum(row.weight for row in compiled.pairs)
    busy = sum(row.weight for row in compiled.pairs if owner[row.judgements[0]] == "busy")
    assert busy / total == pytest.approx(1.5 / 12)
    assert total == pytest.approx(len(compiled.pairs))  # the mean weight stays 1
    assert compiled.counts["capped"]["pairs"] == 1


@given(any_judgements(), st.sampled_from(["p1", "p2"]))
def test_who_withdrew_leaves_what_a_database_without_them_gives(judgements: list[Judgement], gone: str) -> None:
    """Whatever was compiled before, and in whatever order: nothing of a person is left in others' rows."""
    left = [judgement for judgement in judgements if judgement.person != gone]
    compile_rows(judgements)
    compiled = compile_rows(left[::-1])
    assert compiled == compile_rows(left)
    theirs = {judgement.id for judgement in judgements if judgement.person == gone}
    rows: tuple[Row, ...] = (*compiled.pairs, *compiled.marks, *compiled.sft, *compiled.groups)
    assert not theirs & {id for row in rows for id in row.judgements}


def test_gold_verdicts_never_become_rows_and_change_nothing_but_weights() -> None:
    judged = right_votes("ann", 150)
    corrected = like(900, "Teh sky.", Mark.BAD, prompt="Question 3?", correction="The sky.")
    gold = [replace(each, gold=True) for each in right_votes("ann", 30, first=500)]
    gold += [replace(corrected, gold=False, person="ann"), replace(vote(901, prompt="Only gold?"), gold=True)]
    with_gold, without = compile_rows([*judged, *gold]), compile_rows(judged)
    assert [row.judgements for row in with_gold.pairs] == [row.judgements for row in without.pairs]
    assert [row.split for row in with_gold.pairs] == [row.split for row in without.pairs]
    assert (with_gold.marks, with_gold.sft) == ((), ())
    assert with_gold.counts["skipped"]["gold"] == len(gold)
    assert with_gold.counts["judgements"] == len(judged) + len(gold)


def test_repeats_weigh_their_person_and_change_no_row() -> None:
    """Somebody who turns every second verdict round weighs less than somebody who does not, on the same rows."""

    def repeats(person: str, first: int, turned: bool) -> list[Judgement]:
        said = right_votes(person, 60, first=first)
        again = [
            replace(vote(first + i, person=person, prompt=f"Question {i}?", ranks=ranks), id=f"{person}{i}")
            for i in range(60)
            for ranks in [(2, 1) if turned and i % 2 else (1, 2)]
        ]
        return [*said, *(replace(each, task=one.task, repeat=True) for one, each in zip(said, again, strict=True))]

    judged = [*repeats("steady", 0, False), *repeats("unsteady", 100, True)]
    firsts = [each for each in judged if not each.repeat]
    found = weights(judged)
    assert found["unsteady"] < 0.5 * found["steady"]
    with_repeats, without = compile_rows(judged), compile_rows(firsts)
    assert [(row.judgements, row.split, row.target) for row in with_repeats.pairs] == [
        (row.judgements, row.split, row.target) for row in without.pairs
    ]
    assert with_repeats.counts["skipped"]["repeat"] == len(firsts)
    alone = compile_rows([each for each in judged if each.repeat])
    assert alone.pairs == ()


def test_marks_on_a_repeat_are_no_marks() -> None:
    first = vote(1, person="ann")
    again = replace(
        first, id="again", repeat=True, candidates=tuple(replace(each, mark=Mark.GOOD) for each in first.candidates)
    )
    assert compile_rows([first, again]).marks == ()
