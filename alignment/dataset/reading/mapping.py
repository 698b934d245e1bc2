"""Columns by name: which column holds the question, which the answers, and what a verdict's value means."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """Where in a record each part of a feedback stands."""
