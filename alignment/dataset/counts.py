"""What became of the judgements of a compilation, as its manifest counts it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import cast

from alignment.records import SnapshotCounts


@dataclass(frozen=True, slots=True)
class Sides:
    """So many rows train, so many are held out."""

    train: int
    held_out: int


@dataclass(frozen=True, slots=True)
class Heard:
    """How many judgements there were, how many of them scripted, of which kinds, by how many people."""

    judgements: int
    scripted: int
    by_kind: Mapping[str, int]
    people: int


@dataclass(frozen=True, slots=True)
class Counts(Heard):
    """What they became, and what they did not.

    `rows` are by kind (`pairs`, `marks`, `sft`, `groups`); its pairs are those that a policy may learn from, and
    `reward_only` are the others. `liked` are the training marks that are good, signals among them; `implicit` are
    the marks from signals. `pair_weight` is the sum over training pairs; `contradictions` and `capped` (people scaled
    down) are by kind of rows, `skipped` by reason.
    """

    rows: Mapping[str, Sides]
    liked: int
    reward_only: Sides
    implicit: int
    pairs_by_origin: Mapping[str, int]
    pair_weight: float
    contradictions: Mapping[str, int]
    capped: Mapping[str, int]
    skipped: Mapping[str, int]

    def to_record(self) -> SnapshotCounts:
        """As it stands in a manifest."""
        return cast(SnapshotCounts, asdict(self))
