"""Leaving people out."""

from __future__ import annotations

import pytest

from alignment.compile.folds import fold_of, people_folds
from tests.alignment.builders import vote

JUDGEMENTS = [vote(i, person=f"p{i % 12}") for i in range(60)]


def test_everybody_is_left_out_once_and_trains_otherwise() -> None:
    folds = people_folds(JUDGEMENTS, 4)
    assert sorted(person for fold in folds for person in fold.people) == sorted(f"p{i}" for i in range(12))
    for fold in folds:
        assert {judgement.person for judgement in fold.left_out} == fold.people
        assert not {judgement.person for judgement in fold.train} & fold.people
        assert len(fold.train) + len(fold.left_out) == 60


def test_a_person_stays_in_their_fold_as_others_come() -> None:
    few = people_folds(JUDGEMENTS[:6], 3, seed=2)
    for fold in few:
        assert len({fold_of(person, 3, 2) for person in fold.people}) == 1
    assert people_folds(JUDGEMENTS[::-1], 4) == people_folds(JUDGEMENTS, 4)


def test_one_person_cannot_be_left_out_and_one_fold_is_none() -> None:
    assert people_folds([vote(1), vote(2)], 5) == ()
    with pytest.raises(ValueError, match="at least two folds"):
        people_folds(JUDGEMENTS, 1)
