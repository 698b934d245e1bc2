"""Accuracy on people who were left out: the second report beside accuracy on prompts that were.

A model that has seen somebody's judgements may know their taste and not people's. So people are dealt into
folds by a hash of their id (the same fold as the data grows), and for each fold rows are compiled from the
others and from its people alone: train on the one, measure on the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from alignment.judgement import Judgement


@dataclass(frozen=True, slots=True)
class Fold:
    """The judgements of the people who stay (`train`) and of those who are left out (`left_out`)."""

    people: frozenset[str]
    train: tuple[Judgement, ...]
    left_out: tuple[Judgement, ...]


def fold_of(person: str, folds: int, seed: int = 0) -> int:
    """The fold of one person, 0 to `folds` − 1; a fixed function of its arguments."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{person}".encode()).digest()[:8]) % folds


def people_folds(judgements: Iterable[Judgement], folds: int = 5, seed: int = 0) -> tuple[Fold, ...]:
    """Folds by person; one that would leave out nobody, or everybody, is not among them.

    Raises `ValueError` below two folds.
    """
    if folds < 2:
        raise ValueError(f"Leaving people out takes at least two folds, not {folds}.")
    listed = sorted(judgements, key=lambda judgement: judgement.id)
    people = {judgement.person for judgement in listed}
    made = []
    for number in range(folds):
        out = frozenset(person for person in people if fold_of(person, folds, seed) == number)
        if not out or out == people:
            continue
        made.append(
            Fold(
                people=out,
                train=tuple(judgement for judgement in listed if judgement.person not in out),
                left_out=tuple(judgement for judgement in listed if judgement.person in out),
            )
        )
    return tuple(made)
