"""Draws one question with the facts that answer it, and keeps held-out wordings and combinations apart.

A combination of wording and slot values is held out by its hash, so the same ones are held out on every machine.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType

from . import stories
from .manner import Manner, compose
from .noise import typed
from .seeds import Kind, expand, fill, kinds, read_toml
from .tables import with_names

HELD_SHARE = 24  # one combination of wording and slots in so many is held out
WEIGHTS = {
    "capitals": 14.0,
    "sums": 17.0,
    "calendar": 11.0,
    "colours": 9.0,
    "opposites": 10.0,
    "animals": 10.0,
    "lists": 6.5,
    "stories": 4.0,
    "greetings": 5.0,
    "rewriting": 7.0,
    "harm": 6.5,
    "unknown": 8.0,
}


@dataclass(frozen=True)
class Asked:
    """A question as typed, with what is needed to answer it (``answer``) and to check an answer (``check``)."""

    category: str
    prompt: str
    kind: Kind | None
    slots: Mapping[str, str] = field(default_factory=dict)
    adjective: str = ""


def is_held(kind: str, wording: str, slots: Mapping[str, str]) -> bool:
    """Return whether this combination is kept out of the corpus."""
    key = "\x1f".join([kind, wording, *(f"{name}={slots[name]}" for name in sorted(slots))])
    return int(hashlib.sha1(key.encode()).hexdigest(), 16) % HELD_SHARE == 0


def normalised(prompt: str) -> str:
    """Return what is left of ``prompt`` when case, spaces and punctuation are ignored (signs of sums stay)."""
    return re.sub(r"[^\w+-]", "", prompt.lower())


@cache
def _by_category() -> Mapping[str, tuple[Kind, ...]]:
    found: dict[str, list[Kind]] = {}
    for kind in kinds():
        found.setdefault(kind.category, []).append(kind)
    return {name: tuple(values) for name, values in found.items()}


def draw_category(rng: random.Random, weights: Mapping[str, float] = MappingProxyType(WEIGHTS)) -> str:
    """Return a category, drawn by ``weights`` (those of the corpus unless others are given)."""
    return rng.choices(list(weights), list(weights.values()))[0]


def _finish_slots(kind: Kind, row: Mapping[str, str], rng: random.Random) -> dict[str, str]:
    slots = dict(row)
    if kind.category == "sums":
        slots = with_names(slots, read_toml("sums")["slots"]["names"], rng)
    other = rng.choice(kind.rows)
    for name, value in other.items():
        slots[f"other_{name}"] = value
    if kind.category == "rewriting":
        slots["q"] = _quoted(slots["blunt"], rng)
    if kind.category == "lists":
        slots["N"] = slots["word"].capitalize()
        slots["Group"] = "Some " + slots["group"]
    return slots


def _quoted(blunt: str, rng: random.Random) -> str:
    style = rng.random()
    end = rng.choice([".", ".", "", "!"])
    if style < 0.25:
        return f'"{blunt}{end}"'
    if style < 0.4:
        return f"'{blunt}{end}'"
    if style < 0.85:
        return blunt + (end or ".")
    return blunt[0].lower() + blunt[1:] + end


def _distinct(wording: str, kind: Kind, slots: Mapping[str, str]) -> bool:
    """Return whether an "or" question offers two different things."""
    return all(slots[f"other_{name}"] != slots[name] for name in re.findall(r"\{other_(\w+)\}", wording))


def ask(category: str, rng: random.Random, *, held: bool, noise: float = 1.0) -> Asked:
    """Return a question of ``category``; ``held`` draws from what the corpus never contains."""
    if category == "stories":
        return _ask_story(rng, held=held, noise=noise)
    while True:
        kind = rng.choices(_by_category()[category], [k.weight for k in _by_category()[category]])[0]
        row = rng.choice(kind.rows)
        fresh = held and bool(kind.held) and rng.random() < 0.5
        wording = rng.choice(kind.held if fresh else kind.wordings)
        if not fresh and is_held(kind.name, wording, row) is not held:
            continue
        slots = _finish_slots(kind, row, rng)
        if not _distinct(wording, kind, slots):
            continue
        text = fill(expand(wording, rng), slots)
        return Asked(category, typed(text, rng, amount=noise), kind, slots)


def _ask_story(rng: random.Random, *, held: bool, noise: float) -> Asked:
    seed = stories.seed()
    while True:
        row = rng.choice(stories.things())
        fresh = held and rng.random() < 0.5
        wording = rng.choice(seed["question"]["held" if fresh else "wordings"])
        if not fresh and is_held("story", wording, row) is not held:
            continue
        adjective = rng.choice(seed["things"]["adjectives"])
        named = rng.random() < 0.3
        words = f"{adjective} {row['thing']}" if named else row["thing"]
        slots = {**row, "a": stories.with_article(words)}
        return Asked(
            "stories",
            typed(fill(expand(wording, rng), slots), rng, amount=noise),
            None,
            slots,
            adjective if named else "",
        )


def answer(asked: Asked, manner: Manner, rng: random.Random) -> str:
    """Return a right answer to ``asked`` in ``manner``."""
    if asked.kind is None:
        adjective = asked.adjective or rng.choice(stories.seed()["things"]["adjectives"])
        story = stories.tell(asked.slots, adjective, manner.length, rng)
        # The story has its length already, so nothing more is added to it.
        return compose(story, (), manner, rng)
    core = fill(rng.choice(asked.kind.answers), asked.slots)
    more = [
        text for text in (fill(text, asked.slots) for text in asked.kind.more) if text.strip(". ") != core.strip(". ")
    ]
    return compose(core, more, manner, rng)
