"""The questions of a suite: multiple choice, or asked freely and checked."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TypeAlias

from alignment.evaluation.suites.conditions import Check

MARGIN = 2.0
"""Points that a version may lose, where the suite is large enough to tell as much."""
ITEMS_FOR_MARGIN = 500
"""Items that tell a loss of `MARGIN` points from noise: the frozen questions' own rule (`gate.Limits`)."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A multiple-choice question; `answer` is the index of the right one of `choices`."""

    id: str
    category: str
    prompt: str
    choices: tuple[str, ...]
    answer: int

    @property
    def chance(self) -> float:
        """The share that a blind choice gets right."""
        return 1 / len(self.choices)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that is answered greedily; `check` says whether the answer is right."""

    id: str
    category: str
    prompt: str
    check: Check

    @property
    def chance(self) -> float:
        """The share that one gets right who says anything."""
        return self.check.chance


Item: TypeAlias = Choice | Asked


@dataclass(frozen=True, slots=True)
class Suite:
    """A name, the items in the order in which they are asked, and the points that a version may lose of them.

    `hash` is that of the file and of how it is read. `chosen`: an operator brought it, so that a gate that cannot
    measure it holds; a shipped suite is asked where it fits.
    """

    name: str
    hash: str
    items: tuple[Item, ...]
    margin: float = MARGIN
    chosen: bool = True


def in_turn(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """The items in an order of which every beginning has each category as often as the others, always the same one."""
    places: dict[str, int] = {}
    keyed = []
    for item in sorted(items, key=lambda item: hashlib.sha256(item.id.encode()).hexdigest()):
        place = places[item.category] = places.get(item.category, -1) + 1
        keyed.append((place, item.category, item))
    return tuple(item for _, _, item in sorted(keyed, key=lambda entry: entry[:2]))


def needed(margin: float) -> int:
    """Items that tell a loss of `margin` points from noise: as the margin halves, four times as many."""
    return math.ceil(round(ITEMS_FOR_MARGIN * (MARGIN / margin) ** 2, 6))


def margin_for(items: int) -> float:
    """The smallest margin in half points, from `MARGIN` on, that so many items can tell from noise."""
    return max(MARGIN, math.ceil(2 * MARGIN * math.sqrt(ITEMS_FOR_MARGIN / max(1, items))) / 2)
