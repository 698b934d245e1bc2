"""Rankings as one row of tie-groups."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.alignment.builders import ranking, vote
from tests.alignment.compiled import compile_rows


def test_a_ranking_is_one_row_of_tie_groups_best_first() -> None:
    (row,) = compile_rows([ranking(1, [2, 1, 2, 3])]).groups
    assert row.completions == (("Answer 1.",), ("Answer 0.", "Answer 2."), ("Answer 3.",))
    assert (row.weight, row.judgements, row.split) == (2.0, ("j00001",), "train")


@given(st.lists(st.integers(1, 5), min_size=2, max_size=5))
def test_it_weighs_what_its_pairs_weigh(ranks: list[int]) -> None:
    compiled = compile_rows([ranking(1, ranks)])
    assert sum(row.weight for row in compiled.groups) == pytest.approx(sum(row.weight for row in compiled.pairs))


def test_ties_votes_and_those_who_cannot_judge_give_no_group() -> None:
    assert compile_rows([ranking(1, [1, 1, 1]), vote(2), replace(ranking(3, [1, 2]), cannot_judge=True)]).groups == ()


def test_many_rankings_of_one_task_weigh_as_much_as_two() -> None:
    rows = compile_rows([replace(ranking(i, [1, 2, 3]), task="shared", person=f"p{i}") for i in range(4)]).groups
    assert len(rows) == 4
    assert sum(row.weight for row in rows) == pytest.approx(4.0)


def test_a_text_that_stands_in_two_groups_is_in_none() -> None:
    judged = ranking(1, [1, 2, 3])
    first, second, third = judged.candidates
    twice = replace(judged, candidates=(first, second, replace(third, text=" Answer  0. ")))
    assert compile_rows([twice]).groups == ()
    empty = replace(judged, candidates=(replace(first, text=" "), second, third))
    (row,) = compile_rows([empty]).groups
    assert row.completions == (("Answer 1.",), ("Answer 2.",))


def test_a_ranking_is_never_on_both_sides() -> None:
    judgements = [ranking(i, [1, 2, 3, 4], prompt=f"Question {i}?") for i in range(200)]
    compiled = compile_rows(judgements)
    sides = {row.judgements: row.split for row in compiled.groups}
    assert set(sides.values()) == {"train", "held_out"}
    assert all(sides[row.judgements] == row.split for row in compiled.pairs)
