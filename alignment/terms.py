"""Closed vocabularies that training and the product share. Values are what files and tables hold; no rules here."""

from __future__ import annotations

from enum import StrEnum

Setting = bool | int | float | str
"""A value of a stage's or a round's setting, as a command line, a page and a stored round have it."""


class Kind(StrEnum):
    """What a person was asked to do: the kind of a task and of its judgements."""

    LIKE = "like"
    COMPARE = "compare"
    RANK = "rank"


class Mark(StrEnum):
    """An absolute mark on one candidate."""

    GOOD = "good"
    BAD = "bad"


class Signal(StrEnum):
    """What people do without being asked for a verdict; see `alignment.dataset.compile.implicit`."""

    RETRY = "retry"
    COPY = "copy"
    STOP = "stop"
    EDIT = "edit"
    ABANDONED = "abandoned"
    THANKS = "thanks"


class VerdictKind(StrEnum):
    """The outcome of a gate: go on, wait for more, or stop."""

    PASS = "pass"
    HOLD = "hold"
    FAIL = "fail"
