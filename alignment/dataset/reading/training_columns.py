"""What a row of a training file may say beside its question and its answers: how much it counts, and where it is from.

Import reads none of it, because people's verdicts weigh by their own rules. A stage trains on it as it stands, so a
value that cannot be meant ends the stage with its file and line. What is not done here: reading questions and answers.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alignment.errors import SnapshotProblem

TRAIN, HELD_OUT = "train", "held_out"
_HELD_OUT = {"held", "heldout", "test", "validation", "valid", "val", "dev", "eval"}
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Columns:
    """As `rows.PairRow` has them. `judgements` are those that the row names, else the line that it stands on."""

    weight: float = 1.0
    margin: float = 1.0
    target: float = 1.0
    age_weight: float = 1.0
    reward_only: bool = False
    judgements: tuple[str, ...] = ()
    origin: str = "file"
    split: str = TRAIN


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands: the path as it was named, the file's own name and the line (or row), from 1.

    `table` says that its cells are texts; `split` is the side that the file's name speaks of.
    """

    path: str
    file: str
    line: int
    table: bool = False
    split: str = TRAIN

    def at(self, line: int) -> Place:
        """Another line of the same file."""
        return Place(self.path, self.file, line, self.table, self.split)

    @property
    def name(self) -> str:
        """What stands for a judgement where a row has none: "line 4 of pairs.jsonl"."""
        return f"line {self.line} of {self.file}"

    def wrong(self, what: str) -> SnapshotProblem:
        """The sentence that ends a stage: "…/pairs.jsonl, line 4 has …"."""
        return SnapshotProblem(f"{self.path}, line {self.line} has {what}")


def columns_of(record: Mapping[str, Any], place: Place, *, ours: bool) -> Columns:
    """What a record says beside its texts. Raises `SnapshotProblem` with file and line on what cannot be meant.

    `ours` says that the file has one of our names (`pairs`, `marks`, `sft`, `groups`): then `margin`, `target` and the
    others are ours too. In other people's files such a name may mean anything, and `weight` alone is read.
    """
    judgements = record.get("judgements")
    known = isinstance(judgements, list) and judgements and all(isinstance(each, str) for each in judgements)
    plain = Columns(
        weight=_number(record, "weight", place, "a finite number above 0", above=0.0),
        judgements=tuple(judgements or ()) if known else (place.name,),
        split=split_of(str(record.get("split") or ""), place.split),
    )
    if not ours:
        return plain
    return Columns(
        weight=plain.weight,
        margin=_number(record, "margin", place, "a finite number, 0 or above", least=0.0),
        target=_number(record, "target", place, "a share between 0 and 1", least=0.0, most=1 + 1e-9),  # sums round
        age_weight=_number(record, "age_weight", place, "a finite number above 0", above=0.0),
        reward_only=_flag(record, "reward_only", place),
        judgements=plain.judgements,
        origin=origin if isinstance(origin := record.get("origin"), str) else "file",
        split=plain.split,
    )


def truth(value: Any) -> bool | None:
    """What a label says: true, "true", 1 and "1", or false, "false", 0 and "0", in any case; None for all else."""
    if isinstance(value, str):
        return _TRUTH.get(value.strip().lower())
    return bool(value) if isinstance(value, bool | int | float) and value in (0, 1) else None


def check_label(record: Mapping[str, Any], key: str, place: Place) -> None:
    """Raise `SnapshotProblem` with file and line where a label is neither true nor false."""
    if truth(record[key]) is None:
        raise place.wrong(f"the {key} {_shown(record[key])}: a label is true or false.")


def split_of(said: str, otherwise: str = TRAIN) -> str:
    """The side that a name speaks of ("test_prefs", "held_out"), or `otherwise` where it says none."""
    if not said:
        return otherwise
    words = set(re.split(r"[^a-z]+", said.lower()))
    if words & _HELD_OUT:
        return HELD_OUT
    return TRAIN if "train" in words else otherwise


def _number(
    record: Mapping[str, Any],
    key: str,
    place: Place,
    meaning: str,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    most: float = math.inf,
) -> float:
    """The number under a key, 1 where there is none. In a table an empty cell is none, and a number is text."""
    if key not in record or (place.table and record[key] in (None, "")):
        return 1.0
    value = record[key]
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, str) and not place.table:
        number = math.nan
    if not math.isfinite(number) or not above < number or not least <= number <= most:
        raise place.wrong(f"the {key} {_shown(value)}: it is {meaning}.")
    return number


def _flag(record: Mapping[str, Any], key: str, place: Place) -> bool:
    if key not in record or (place.table and record[key] in (None, "")):
        return False
    found = truth(record[key])
    if found is None:
        raise place.wrong(f"the {key} {_shown(record[key])}: it is true or false.")
    return found


def _shown(value: Any) -> str:
    """A value of a file as JSON has it, short and on one line."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=repr)
    except ValueError:  # an integer of more digits than Python writes
        text = "of too many digits"
    text = "".join(sign if sign.isprintable() else "\ufffd" for sign in text)
    return text if len(text) <= 60 else f"{text[:57]}…"
