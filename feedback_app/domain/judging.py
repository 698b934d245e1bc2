"""Kinds of tasks, marks, and what people do without being asked."""

from __future__ import annotations

from alignment.terms import Kind as Kind
from alignment.terms import Mark as Mark
from alignment.terms import Signal as Signal


def kind_of(candidates: int) -> Kind:
    """What is asked about so many answers at once."""
    return {1: Kind.LIKE, 2: Kind.COMPARE}.get(candidates, Kind.RANK)
