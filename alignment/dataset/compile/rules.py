"""What a compilation is told besides the judgements: one typed, frozen value.

Everything that a rule needs to know of the world outside (whom an operator trusts, how often a version has
been replaced since) comes in here as plain data, so that equal input gives equal rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from alignment.records import RulesRecord
from alignment.terms import Signal as Signal


class Contradictions(StrEnum):
    """What happens where people (or one person at two times) said opposite things of the same answers."""

    WEIGHTS = "weights"  # both sides count, each with its weight
    MAJORITY = "majority"  # only the heavier side counts; an even split counts for nothing
    DROP = "drop"  # neither counts


@dataclass(frozen=True, slots=True)
class Rules:
    """The choices of one compilation.

    `trusted`: ids of people whose corrections train at once. `contradictions`: see `Contradictions`.
    `promotions`: for each version, how many promotions there have been since it was served; a version that
    is not named counts as fresh. `implicit`: which signals may be used at all; none by default.
    `reliability`: whether people weigh by what is known of them; without it everybody weighs the same.
    """

    trusted: frozenset[str] = frozenset()
    contradictions: Contradictions = Contradictions.WEIGHTS
    promotions: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    implicit: frozenset[Signal] = frozenset()
    reliability: bool = True

    def to_record(self) -> RulesRecord:
        """As JSON, for a manifest. Whom it trusts is left out: a manifest names nobody."""
        return {
            "contradictions": self.contradictions.value,
            "promotions": dict(sorted(self.promotions.items())),
            "implicit": sorted(signal.value for signal in self.implicit),
            "reliability": self.reliability,
        }
