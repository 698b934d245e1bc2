"""Training rows: what stages read. Values, standard library only.

Column names are TRL's conversational form: `prompt`, `chosen`, `rejected`, `completion`, `label`,
`messages`, each a list of {"role", "content"}.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from alignment.judgement import Message


@dataclass(frozen=True, slots=True)
class PairRow:
    """Chosen over rejected on one prompt. `weight` counts, `margin` is for the reward model."""

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    weight: float
    margin: float
    judgements: tuple[str, ...]
    origin: str  # like, compare, rank or correction
    split: str = "train"  # train or held_out


@dataclass(frozen=True, slots=True)
class MarkRow:
    """One completion marked good or bad (TRL's unpaired form)."""

    prompt: tuple[Message, ...]
    completion: str
    label: bool
    weight: float
    judgements: tuple[str, ...]
    split: str = "train"


@dataclass(frozen=True, slots=True)
class SftRow:
    """A completion worth imitating."""

    prompt: tuple[Message, ...]
    completion: str
    weight: float
    judgements: tuple[str, ...]
    split: str = "train"


Row = PairRow | MarkRow | SftRow


def to_record(row: Row) -> dict[str, Any]:
    """A JSON object in TRL's conversational form, with the row's weight and lineage beside it."""
    record = asdict(row)
    record["judgements"] = list(row.judgements)
    record["prompt"] = [asdict(message) for message in row.prompt]
    for name in ("chosen", "rejected", "completion"):
        if name in record:
            record[name] = [{"role": "assistant", "content": record[name]}]
    return record
