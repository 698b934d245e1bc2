"""Reads the hand-written seeds: categories, kinds of question, tables of facts, pieces of manner.

A seed file names wordings and answers with slots; this module expands the small notation in them and does not
decide which question is asked or in what manner it is answered (see ``corpus`` and ``manner``).
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .tables import generated_table

SEEDS = Path(__file__).resolve().parent.parent / "seeds"
CATEGORIES = (
    "capitals",
    "sums",
    "calendar",
    "colours",
    "opposites",
    "animals",
    "lists",
    "stories",
    "greetings",
    "rewriting",
    "harm",
    "unknown",
)

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_MACRO = re.compile(r"<([A-Z]+)>")
_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Kind:
    """One kind of question: its wordings, the facts it may ask about, and the cores of its answers.

    ``rows`` are slot values; ``held`` are whole wordings that only the question files use; ``check`` is a
    capability check whose regexes may hold slots.
    """

    category: str
    name: str
    weight: float
    wordings: tuple[str, ...]
    held: tuple[str, ...]
    answers: tuple[str, ...]
    more: tuple[str, ...]
    check: Mapping[str, Any]
    rows: tuple[Mapping[str, str], ...]


def read_toml(name: str) -> dict[str, Any]:
    """Return the parsed seed file ``name`` (without its ending)."""
    return tomllib.loads((SEEDS / f"{name}.toml").read_text(encoding="utf-8"))


@cache
def macros() -> Mapping[str, str]:
    """Return the macros that wordings may use, by name."""
    values: dict[str, str] = read_toml("common")["macros"]
    return values


def expand(wording: str, rng: random.Random) -> str:
    """Return ``wording`` with every macro replaced and one branch taken of every ``[a|b]``."""
    text = _MACRO.sub(lambda found: macros()[found[1]], wording)
    while (found := _CHOICE.search(text)) is not None:
        branch = rng.choice(found[1].split("|"))
        text = text[: found.start()] + branch + text[found.end() :]
    return re.sub(r" {2,}", " ", text).strip()


def fill(text: str, slots: Mapping[str, str]) -> str:
    """Return ``text`` with its ``{slots}`` filled.

    Raises KeyError when a slot has no value.
    """
    return _SLOT.sub(lambda found: slots[found[1]], text)


def _table(seed: Mapping[str, Any], name: str) -> list[dict[str, str]]:
    tables = seed.get("tables", {})
    if name not in tables:
        return generated_table(name, seed)
    table = tables[name]
    columns: Sequence[str] = table["columns"]
    rows = []
    for line in str(table["rows"]).strip().splitlines():
        cells = line.split("|")
        # A pattern may itself hold "|": the seed writes it in brackets, so rejoin what was cut apart.
        if len(cells) > len(columns):
            start = next(i for i, cell in enumerate(cells) if cell.startswith("("))
            end = next(i for i, cell in enumerate(cells) if cell.endswith(")"))
            cells[start : end + 1] = ["|".join(cells[start : end + 1])]
        rows.append(dict(zip(columns, cells, strict=True)))
    rows += _combined(seed, name, columns)
    if table.get("both_ways"):
        first, second = columns
        rows += [{first: row[second], second: row[first]} for row in rows]
    return rows


def _combined(seed: Mapping[str, Any], name: str, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return rows put together from parts; every column holds the same text."""
    rng = random.Random(f"combine {name}")
    found: dict[str, None] = {}
    for entry in seed.get("combine", {}).get(name, ()):
        for _ in range(entry["count"]):
            found[expand(entry["text"], rng)] = None
    return [{column: _indirect(text) if column == "indirect" else text for column in columns} for text in found]


def _indirect(question: str) -> str:
    """Return ``question`` as it stands inside another one, where that is easy; otherwise as it is."""
    if question.startswith(("what is my ", "what's my ")) and "'s " in question.split("my ", 1)[1]:
        return "my " + question.split("my ", 1)[1]
    found = re.match(r"where is my (.+)$", question)
    return f"where my {found[1]} is" if found else question


def _rows(seed: Mapping[str, Any], kind: Mapping[str, Any]) -> list[dict[str, str]]:
    rows = _table(seed, kind["table"])
    if "cross" in kind:
        others = _table(seed, kind["cross"])
        rows = [{**row, **other} for row in rows for other in others]
    return rows


@cache
def kinds() -> tuple[Kind, ...]:
    """Return every kind of question of every category whose answers are short (all but stories)."""
    found = []
    for category in CATEGORIES:
        if category == "stories":
            continue
        seed = read_toml(category)
        for kind in seed["kinds"]:
            found.append(
                Kind(
                    category=category,
                    name=kind["name"],
                    weight=float(kind["weight"]),
                    wordings=tuple(kind["wordings"]),
                    held=tuple(kind["held"]),
                    answers=tuple(kind["answers"]),
                    more=tuple(kind["more"]),
                    check=kind["check"],
                    rows=tuple(_rows(seed, kind)),
                )
            )
    return tuple(found)
