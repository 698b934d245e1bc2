"""What `alignloop lineage` says: which judgements made a version, and where a person's judgements went.

Field names are those of its JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Dataset:
    """The snapshot that a version was trained on."""

    id: str
    hash: str
    folder: str


@dataclass(frozen=True, slots=True)
class Contributor:
    """Somebody whose judgements a version rests on, and how many."""

    name: str
    scripted: bool
    judgements: int
    withdrawn: bool
    erased: bool


@dataclass(frozen=True, slots=True)
class Click:
    """A judgement or signal that training rows name: `kind` is a `Kind` or a `Signal`, `rows` counts by kind of row."""

    judgement: str
    person: str
    kind: str
    at: float
    rows: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class VersionLineage:
    """Which clicks made a version; `ancestors`, nearest first; `flag`, why it should not be built on, or empty."""

    version: str
    serving: bool
    flag: str
    ancestors: Sequence[str]
    parent: str | None
    round: int | None
    snapshot: Dataset | None
    people: Sequence[Contributor]
    rows: Mapping[str, int]
    judgements: int
    clicks: Sequence[Click]


@dataclass(frozen=True, slots=True)
class UsedIn:
    """A snapshot that holds judgements of a person, and the rounds that trained on it."""

    id: str
    judgements: int
    rounds: Sequence[int | None]


@dataclass(frozen=True, slots=True)
class RestsOn:
    """A version that rests on judgements of a person."""

    version: str
    how: Literal["trained", "continued"]
    judgements: int
    state: str
    serving: bool


@dataclass(frozen=True, slots=True)
class PersonLineage:
    """Where a person's judgements went."""

    person: str
    withdrawn: bool
    erased: bool
    set_aside: bool
    judgements: int
    snapshots: Sequence[UsedIn]
    versions: Sequence[RestsOn]
