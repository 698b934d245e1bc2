"""Several people on one task, and rows that contradict each other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.dataset.compile import Contradictions, Rules
from alignment.dataset.compile.shares import Vote, opinion_of
from alignment.dataset.judgement import Judgement, Mark, Strength
from alignment.dataset.rows import PairRow
from tests.alignment.builders import like, ranking, vote
from tests.alignment.compiled import compile_rows

LEFT, RIGHT, TIE = (1, 2), (2, 1), (1, 1)


def together(*ranks: tuple[int, int], strengths: tuple[Strength | None, ...] = ()) -> list[Judgement]:
    """People p0, p1, … on one task."""
    given_strengths = strengths or (None,) * len(ranks)
    return [
        replace(vote(i, ranks=each, person=f"p{i}", strength=strength), task="shared")
        for i, (each, strength) in enumerate(zip(ranks, given_strengths, strict=True))
    ]


def opinion(*shares: float, mode: Contradictions = Contradictions.WEIGHTS) -> tuple[float, float] | None:
    votes = [Vote(f"p{i}", f"j{i}", 1.0, share) for i, share in enumerate(shares)]
    found = opinion_of(votes, {}, contradictions=mode)
    return None if found is None else (round(found.share, 6), found.weight)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ((1.0,), (1.0, 1.0)),
        ((1.0, 1.0), (1.0, 2.0)),
        ((1.0, 1.0, 1.0, 1.0), (1.0, 2.0)),
        ((1.0, 0.5), (0.75, 2.0)),
        ((1.0, 1.0, 0.0), (0.666667, 2.0)),
        ((1.0, 0.0), (0.5, 2.0)),
        ((0.5, 0.5), None),
        ((0.5,), None),
        ((), None),
    ],
)
def test_the_share_is_the_mean_and_the_weight_at_most_two(
    shares: tuple[float, ...], expected: tuple[float, float] | None
) -> None:
    assert opinion(*shares) == expected


def test_reliability_moves_the_share_and_the_weight() -> None:
    votes = [Vote("p0", "j0", 1.0, 1.0), Vote("p1", "j1", 0.5, 0.0)]
    found = opinion_of(votes, {"p0": 0.5, "p1": 1.0})
    assert found is not None
    assert (found.share, found.weight, found.parts) == (0.5, 1.0, (("p0", 0.5), ("p1", 0.5)))
    assert found.close
    assert found.even


def test_a_person_counts_once_however_often_they_judged() -> None:
    votes = [Vote("p0", f"j{i}", 1.0, 1.0) for i in range(3)] + [Vote("p1", "j9", 1.0, 0.0)]
    found = opinion_of(votes, {})
    assert found is not None
    assert (found.share, found.weight) == (0.5, 2.0)
    assert found.judgements == ("j0", "j1", "j2", "j9")


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.5, 1.0])),
        min_size=1,
        max_size=8,
    ),
    st.permutations(range(8)),
)
def test_parts_add_up_and_no_order_matters(drawn: list[tuple[int, float, float]], order: list[int]) -> None:
    votes = [Vote(f"p{who}", f"j{i}", weight, share) for i, (who, share, weight) in enumerate(drawn)]
    reliability = {"p0": 0.3, "p1": 1.7}
    found = opinion_of(votes, reliability)
    assert found == opinion_of([votes[i] for i in order if i < len(votes)], reliability)
    if found is not None:
        assert sum(part for _, part in found.parts) == pytest.approx(found.weight)
        assert 0 < found.weight <= 2.0
        assert 0.0 <= found.share <= 1.0


def test_several_people_on_one_task_are_one_row() -> None:
    (row,) = compile_rows(together(LEFT, LEFT, LEFT, RIGHT)).pairs
    assert (row.chosen, row.target, row.weight, row.reward_only) == ("It is blue.", 0.75, 2.0, False)
    assert row.judgements == ("j00000", "j00001", "j00002", "j00003")
    assert row.margin == pytest.approx(0.5)


def test_a_tie_is_half_a_win_beside_others_and_no_row_alone() -> None:
    (row,) = compile_rows(together(LEFT, TIE)).pairs
    assert (row.target, row.reward_only) == (0.75, False)
    alone = compile_rows(together(TIE, TIE))
    assert alone.pairs == ()
    assert alone.counts["skipped"] == {"tie_or_unranked": 2}


@pytest.mark.parametrize(
    ("ranks", "target", "reward_only"),
    [
        ((LEFT, RIGHT), 0.5, True),
        ((LEFT, LEFT, LEFT, RIGHT, RIGHT), 0.6, True),
        ((LEFT, LEFT, RIGHT), 2 / 3, False),
    ],
)
def test_a_close_share_leaves_dpo_and_stays_for_the_reward_model(
    ranks: tuple[tuple[int, int], ...], target: float, reward_only: bool
) -> None:
    compiled = compile_rows(together(*ranks))
    (row,) = compiled.pairs
    assert row.reward_only is reward_only
    assert row.target == pytest.approx(target)
    assert compiled.counts["rows"]["pairs"]["train"] == (0 if reward_only else 1)
    assert compiled.counts["reward_only"]["train"] == (1 if reward_only else 0)


def test_rankings_of_one_task_meet_pair_by_pair() -> None:
    first = replace(ranking(1, [1, 2, 3]), task="shared")
    second = replace(ranking(2, [1, 3, 2]), task="shared", person="p2")
    rows = {(row.chosen, row.rejected): row for row in compile_rows([first, second]).pairs}
    assert rows["Answer 0.", "Answer 1."].weight == pytest.approx(4 / 3)
    assert rows["Answer 0.", "Answer 1."].target == 1.0
    (torn,) = [row for row in rows.values() if row.reward_only]
    assert {torn.chosen, torn.rejected} == {"Answer 1.", "Answer 2."}
    assert sum(row.weight for row in rows.values()) == pytest.approx(4.0)  # twice k − 1


def _opposed() -> list[Judgement]:
    """One task torn 2 to 1, and the same two answers the other way round in another task."""
    return [*together(LEFT, LEFT, RIGHT), vote(7, ranks=RIGHT, person="p7")]


def test_contradictions_are_counted_and_weigh_by_default() -> None:
    compiled = compile_rows(_opposed())
    assert [row.origin for row in compiled.pairs] == ["compare", "compare"]
    assert compiled.counts["contradictions"] == {"pairs": 2, "marks": 0}
    assert "contradicts" not in compiled.counts["skipped"]


def test_the_majority_alone_may_count() -> None:
    (row,) = compile_rows(_opposed(), rules=Rules(contradictions=Contradictions.MAJORITY)).pairs
    assert (row.chosen, row.target) == ("It is blue.", 1.0)
    assert compile_rows(together(LEFT, RIGHT), rules=Rules(contradictions=Contradictions.MAJORITY)).pairs == ()


def test_what_contradicts_may_be_dropped() -> None:
    rules = Rules(contradictions=Contradictions.DROP)
    compiled = compile_rows([*_opposed(), vote(9, prompt="Else?")], rules=rules)
    assert {row.judgements for row in compiled.pairs} == {("j00009",), ("j00007",)}
    assert compiled.counts["skipped"]["contradicts"] == 1
    apart = [vote(1, ranks=LEFT, person="p1"), vote(2, ranks=RIGHT, person="p2")]
    assert compile_rows(apart, rules=rules).pairs == ()
    assert compile_rows(apart, rules=rules).counts["skipped"]["contradicts"] == 2


def shared_like(number: int, mark: Mark) -> Judgement:
    return replace(like(number, "Blue!", mark, person=f"p{number}"), task="shared")


def test_several_people_on_one_answer_are_one_mark() -> None:
    (row,) = compile_rows([shared_like(1, Mark.GOOD), shared_like(2, Mark.GOOD), shared_like(3, Mark.BAD)]).marks
    assert row.label
    assert row.target == pytest.approx(2 / 3)
    assert row.weight == 2.0
    undecided = compile_rows([shared_like(1, Mark.GOOD), shared_like(2, Mark.BAD)])
    assert undecided.marks == ()
    assert undecided.counts["skipped"]["marks_close"] == 1


@pytest.mark.parametrize(("mode", "rows"), [("weights", 2), ("majority", 0), ("drop", 0)])
def test_marks_in_two_tasks_may_contradict(mode: str, rows: int) -> None:
    judgements = [like(1, "Blue!", Mark.GOOD), like(2, "Blue!", Mark.BAD)]
    compiled = compile_rows(judgements, rules=Rules(contradictions=Contradictions(mode)))
    assert len(compiled.marks) == rows
    assert compiled.counts["contradictions"]["marks"] == 1


def test_both_bad_is_two_bad_rows_and_no_pair() -> None:
    compiled = compile_rows([vote(1, ranks=(1, 1), marks=(Mark.BAD, Mark.BAD))])
    assert [row.label for row in compiled.marks] == [False, False]
    assert (compiled.pairs, compiled.sft) == ((), ())


def test_the_age_of_the_answers_is_kept_apart_from_the_weight() -> None:
    rules = Rules(promotions={"sft": 6})
    compiled = compile_rows([vote(1), like(2, "Blue!", Mark.GOOD)], rules=rules)
    (row,) = compiled.pairs
    assert isinstance(row, PairRow)
    assert (row.weight, row.age_weight) == (1.0, 0.25)
    assert [mark.age_weight for mark in compiled.marks] == [0.25]
    (fresh,) = compile_rows([vote(1)], rules=Rules(promotions={"another": 6})).pairs
    assert fresh.age_weight == 1.0
