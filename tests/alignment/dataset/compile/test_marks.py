"""Good and bad rows."""

from __future__ import annotations

from alignment.dataset.judgement import Mark
from tests.alignment.builders import like, vote
from tests.alignment.compiled import compile_rows


def test_every_mark_is_a_row() -> None:
    rows = compile_rows([like(1, "Blue!", Mark.GOOD), vote(2, "a", "b", (1, 1), marks=(Mark.BAD, Mark.BAD))]).marks
    assert {(row.completion, row.label, row.judgements) for row in rows} == {
        ("Blue!", True, ("j00001",)),
        ("a", False, ("j00002",)),
        ("b", False, ("j00002",)),
    }


def test_unfinished_empty_and_unjudged_answers_are_no_rows() -> None:
    judgements = [
        like(1, "It is", Mark.GOOD, finish="length"),
        like(2, "It", Mark.BAD, finish="stopped"),
        like(3, " ", Mark.GOOD),
        vote(4, marks=(Mark.GOOD, None), cannot_judge=True),
    ]
    assert compile_rows(judgements).marks == ()


def test_an_empty_answer_may_be_bad() -> None:
    (row,) = compile_rows([like(1, "", Mark.BAD)]).marks
    assert not row.label
