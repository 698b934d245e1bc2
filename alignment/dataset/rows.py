"""Training rows: what stages read. Values, standard library only.

Column names are TRL's conversational form: `prompt`, `chosen`, `rejected`, `completion`, `label`,
`messages`, each a list of {"role", "content"}.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alignment.dataset.judgement import Message


@dataclass(frozen=True, slots=True)
class PairRow:
    """Chosen over rejected on one prompt. `weight` counts, `margin` is for the reward model (for DPO when set).

    `target` is the weighted share of people who chose the chosen one, in [½, 1], and the label in both losses;
    exactly ½ only on a `reward_only` row, where as many say the one as the other. `reward_only` rows are too
    close for a policy to learn from. `age_weight` is how much the answers still say about the policy of today:
    DPO counts `weight · age_weight`, a reward model `weight` alone.
    """

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    weight: float
    margin: float
    judgements: tuple[str, ...]
    origin: str  # like, compare, rank or correction
    split: str = "train"  # train or held_out
    target: float = 1.0
    reward_only: bool = False
    age_weight: float = 1.0


@dataclass(frozen=True, slots=True)
class MarkRow:
    """One completion marked good or bad (TRL's unpaired form).

    `target` is the weighted share of people who say what `label` says, in (½, 1]; `age_weight` as in
    `PairRow`. `origin` is `vote` where a person said so outright, else `implicit`.
    """

    prompt: tuple[Message, ...]
    completion: str
    label: bool
    weight: float
    judgements: tuple[str, ...]
    split: str = "train"
    target: float = 1.0
    age_weight: float = 1.0
    origin: str = "vote"


@dataclass(frozen=True, slots=True)
class SftRow:
    """A completion worth imitating."""

    prompt: tuple[Message, ...]
    completion: str
    weight: float
    judgements: tuple[str, ...]
    split: str = "train"


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One ranking as it is, for a listwise loss: `completions` are tie-groups, best first, at least two.

    It says the same as the pairs of origin `rank` on these judgements: a loss reads the one or the other.
    """

    prompt: tuple[Message, ...]
    completions: tuple[tuple[str, ...], ...]
    weight: float
    judgements: tuple[str, ...]
    split: str = "train"


Row = PairRow | MarkRow | SftRow | GroupRow


def to_record(row: Row) -> dict[str, Any]:
    """A JSON object in TRL's conversational form, with the row's weight and lineage beside it.

    The tie-groups of a `GroupRow` stand under `groups` as lists of plain texts.
    """
    # Not `asdict`: it copies every value, and a snapshot writes millions of rows.
    record: dict[str, Any] = {name: getattr(row, name) for name in row.__slots__}
    record["judgements"] = list(row.judgements)
    record["prompt"] = [{"role": message.role, "content": message.content} for message in row.prompt]
    if isinstance(row, GroupRow):
        record["groups"] = [list(group) for group in record.pop("completions")]
        return record
    for name in ("chosen", "rejected", "completion"):
        if name in record:
            record[name] = [{"role": "assistant", "content": record[name]}]
    return record
