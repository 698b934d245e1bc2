"""Blind votes on a version: how one went, which ones count, and their tally."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from alignment.stats import Tally as Tally


class Promote(StrEnum):
    """Who turns a passed gate into a promotion."""

    MANUAL = "manual"
    ON_PASS = "on_pass"
    ON_EVIDENCE = "on_evidence"

    @property
    def counts_scripted(self) -> bool:
        """Whether votes of scripted people count: not where a promotion needs evidence."""
        return self is not Promote.ON_EVIDENCE


class Outcome(StrEnum):
    """How the version that a vote is about fared; `none` is "can't judge"."""

    WIN = "win"
    LOSS = "loss"
    TIE = "tie"
    NONE = "none"


class Vote(NamedTuple):
    """One live vote, and whether a scripted person cast it."""

    outcome: Outcome
    scripted: bool


def counting(votes: Iterable[Vote], needed: int, *, scripted_count: bool) -> list[Vote]:
    """The first `needed` votes that count, in their order; "can't judge" is no vote."""
    cast = [vote for vote in votes if vote.outcome != Outcome.NONE and (scripted_count or not vote.scripted)]
    return cast[:needed]


def tally(votes: Iterable[Vote], needed: int, *, scripted_count: bool) -> Tally:
    """How the first `needed` votes that count went."""
    outcomes = [vote.outcome for vote in counting(votes, needed, scripted_count=scripted_count)]
    return Tally(outcomes.count(Outcome.WIN), outcomes.count(Outcome.LOSS), outcomes.count(Outcome.TIE))
