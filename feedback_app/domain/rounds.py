"""States of a round, of its stages and of their attempts, and what a gate says about a version."""

from __future__ import annotations

from enum import StrEnum

from alignment.terms import VerdictKind as VerdictKind  # the outcome of a gate, kept as a round's `verdict`


class RoundStatus(StrEnum):
    """Where a round stands. `held`: it waits for votes or for an operator; no worker has anything left to do."""

    QUEUED = "queued"
    RUNNING = "running"
    PASSED = "passed"
    PROMOTED = "promoted"
    HELD = "held"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE = (RoundStatus.QUEUED, RoundStatus.RUNNING)
ENDED = tuple(status for status in RoundStatus if status not in ACTIVE)  # no worker has anything left to do on these
VOTED = (RoundStatus.HELD, RoundStatus.PASSED, RoundStatus.PROMOTED, RoundStatus.REJECTED)  # people may have voted


class StageStatus(StrEnum):
    """Where one stage of a round stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AttemptStatus(StrEnum):
    """Where one try at a stage stands. `abandoned`: its worker died or was stopped."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    ABANDONED = "abandoned"
