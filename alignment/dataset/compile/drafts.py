"""Rows before it is known how much one person may weigh in the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from alignment.dataset.rows import GroupRow, MarkRow, PairRow, SftRow

AnyRow = TypeVar("AnyRow", PairRow, MarkRow, SftRow, GroupRow)


@dataclass(frozen=True, slots=True)
class Draft(Generic[AnyRow]):
    """A row, and how much of its weight is whose: the amounts add up to `row.weight`."""

    row: AnyRow
    parts: tuple[tuple[str, float], ...]
