"""Personal data and secrets in texts: found by patterns, counted by kind, and replaced where that is asked for.

Standard library only, and no model: what has a shape is found (an address, a number with a check digit, a key
with a known prefix), what has none is not (a name, a street, a diagnosis). A shape that prose shares with
something else is taken only with a check: Luhn's for cards (ISO/IEC 7812-1), the remainder by 97 for IBANs
(ISO 13616), octets for addresses, country and area codes for telephone numbers.

A placeholder is `<KIND_n>`. Inside one row equal values get equal placeholders and different values different
ones, so that chosen and rejected still speak of the same thing. Replacing twice is replacing once.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar, cast

from alignment.dataset.compile.personal_kinds import RECOGNISERS
from alignment.records import PersonalRecord

_Value = TypeVar("_Value")

_PLACEHOLDER = re.compile(r"<(" + "|".join(sorted({kind for kind, _ in RECOGNISERS})) + r")_(\d+)>")
_PASSES = 10  # far more than neighbours can hide behind each other
# Fields that name things of ours: never a person's words, and links break when they change.
_NAMES = frozenset(
    {
        *("id", "task", "person", "conversation", "judgements", "version", "role", "origin", "split"),
        *("finish_reason", "excluded"),
    }
)


class Handling(StrEnum):
    """What is done with what is found: nothing is looked for, or it is counted, or counted and replaced."""

    OFF = "off"
    FLAG = "flag"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Found:
    """One finding: `text[start:end]` is a value of this kind (EMAIL, PHONE, …)."""

    kind: str
    start: int
    end: int


@dataclass
class PersonalFindings:
    """What was found: values by kind (a value counts once a row) and rows with anything in them."""

    kinds: Counter[str] = field(default_factory=Counter)
    rows: int = 0

    def to_record(self, handling: Handling) -> PersonalRecord:
        """As manifests and commands show it."""
        return {"handling": handling.value, "rows": self.rows, "found": dict(sorted(self.kinds.items()))}


def find(text: str) -> list[Found]:
    """Every finding in a text, in order of place; findings never overlap.

    Where two recognisers want the same place, the one listed first in `RECOGNISERS` has it.
    """
    taken: list[Found] = []
    for kind, spans in RECOGNISERS:
        for start, end in spans(text):
            if all(end <= other.start or start >= other.end for other in taken):
                taken.append(Found(kind, start, end))
    return sorted(taken, key=lambda found: found.start)


def handled(row: _Value, handling: Handling, findings: PersonalFindings) -> _Value:
    """The row as it may leave: itself, counted in `findings`, or a copy with placeholders.

    A row is any value of ours, a dataclass, or a JSON object: every text in it is looked at, except the fields
    that hold our own ids and names.
    """
    if handling is Handling.OFF:
        return row
    places = _Placeholders(row)
    after = cast(_Value, _walk(row, places))
    if not places.given:
        return row
    findings.rows += 1
    findings.kinds.update(kind for kind, _ in places.given)
    return after if handling is Handling.REPLACE else row


class _Placeholders:
    """The placeholders of one row. Numbers that the row already uses are not given again."""

    def __init__(self, row: Any) -> None:
        self.given: dict[tuple[str, str], str] = {}
        self._used = {match.group() for text in _texts(row) for match in _PLACEHOLDER.finditer(text)}
        self._next: Counter[str] = Counter()

    def replaced(self, text: str) -> str:
        """The text with a placeholder for each finding, also for what only a replaced neighbour had hidden."""
        for _ in range(_PASSES):
            pieces: list[str] = []
            at = 0
            for found in find(text):
                pieces += [text[at : found.start], self._of(found.kind, text[found.start : found.end])]
                at = found.end
            if not pieces:
                break
            text = "".join([*pieces, text[at:]])
        return text

    def _of(self, kind: str, value: str) -> str:
        key = (kind, _same(kind, value))
        while key not in self.given:
            self._next[kind] += 1
            name = f"<{kind}_{self._next[kind]}>"
            if name not in self._used:
                self.given[key] = name
        return self.given[key]


def _same(kind: str, value: str) -> str:
    """What makes two spellings one value: case in an e-mail address, gaps in a number."""
    if kind == "EMAIL":
        return value.casefold()
    return re.sub(r"[\s().\-/]", "", value) if kind in ("PHONE", "CARD", "IBAN", "SSN") else value


def _walk(value: Any, places: _Placeholders) -> Any:
    if type(value) is str:
        return places.replaced(value)
    if isinstance(value, tuple):
        return tuple(_walk(item, places) for item in value)
    if isinstance(value, list):
        return [_walk(item, places) for item in value]
    if isinstance(value, Mapping):
        return {key: item if key in _NAMES else _walk(item, places) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changed = {
            part.name: _walk(getattr(value, part.name), places)
            for part in dataclasses.fields(value)
            if part.init and part.name not in _NAMES
        }
        return dataclasses.replace(value, **changed)
    return value


def _texts(value: Any) -> Iterator[str]:
    if type(value) is str:
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for part in dataclasses.fields(value):
            yield from _texts(getattr(value, part.name))
