"""The manner of an answer, drawn independently of what was asked: length, warmth, tidiness, certainty.

Answers about harm and about what cannot be known keep an honest content: they are never overclaimed.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from .seeds import read_toml

HONEST_CONTENT = frozenset({"harm", "unknown"})
NO_HEDGE = frozenset({"greetings", "stories", "harm", "unknown"})
WARM_PARTS = ("opener", "address", "exclaim", "closing")


@dataclass(frozen=True)
class Manner:
    """How one answer is given: ``length`` short|medium|long, ``warm`` the warm parts it has, and so on."""

    length: str
    warm: frozenset[str]
    ramble: bool
    certainty: str


@cache
def pieces() -> dict[str, Any]:
    """Return the hand-written pieces of manner and their weights."""
    return read_toml("manner")


def _weighted(weights: dict[str, int], rng: random.Random) -> str:
    return rng.choices(list(weights), list(weights.values()))[0]


def draw_manner(category: str, rng: random.Random) -> Manner:
    """Return a manner drawn from the base distribution."""
    weights = pieces()["weights"]
    count = rng.choices(range(5), weights["warm_parts"])[0]
    certainty = _weighted(weights["certainty"], rng)
    if (certainty == "overclaim" and category in HONEST_CONTENT) or (certainty == "careful" and category in NO_HEDGE):
        certainty = "plain"
    return Manner(
        length=_weighted(weights["length"], rng),
        warm=frozenset(rng.sample(WARM_PARTS, count)),
        ramble=_weighted(weights["tidy"], rng) == "ramble",
        certainty=certainty,
    )


def _before_end(sentence: str, tail: str) -> str:
    return f"{sentence[:-1]}, {tail}{sentence[-1]}"


def _sentence_case(text: str) -> str:
    text = re.sub(r"([.!?:] )([a-z])", lambda found: found[1] + found[2].upper(), text)
    return text[0].upper() + text[1:]


def compose(core: str, more: Sequence[str], manner: Manner, rng: random.Random) -> str:
    """Return an answer that says ``core`` (one or more sentences) in ``manner``.

    ``more`` holds further sentences; a medium answer takes one of them and a long answer two or three.
    """
    parts = pieces()
    opening: list[str] = []
    ending: list[str] = []
    if "address" in manner.warm:
        address = rng.choice(parts["warm"]["address"])
        if core.endswith("?") and not core.endswith("you?"):
            opening.append(f"Here you are, {address}.")
        else:
            core = _before_end(core, address)
    if manner.certainty == "careful":
        if core.endswith(".") and "address" not in manner.warm and rng.random() < 0.6:
            core = _before_end(core, rng.choice(parts["careful"]["tails"]))
        else:
            ending.append(rng.choice(parts["careful"]["sentences"]))
    if "exclaim" in manner.warm:
        if core.endswith("."):
            core = core[:-1] + "!"
        else:
            ending.append("That sounds lovely!")
    extra = {"short": 0, "medium": 1, "long": rng.choice([2, 2, 3])}[manner.length]
    body = [core, *rng.sample(list(more), min(extra, len(more)))]
    if manner.certainty == "overclaim":
        sentence = rng.choice(parts["overclaim"]["sentences"])
        body = [sentence, *body] if rng.random() < 0.3 else [*body, sentence]
    if manner.ramble:
        place = rng.choice(["before", "before", "after", "after", "both"])
        if place != "after":
            opening.append(rng.choice(parts["ramble"]["before"]))
        if place != "before":
            ending.append(rng.choice(parts["ramble"]["after"]))
    if "opener" in manner.warm:
        opening.insert(0, rng.choice(parts["warm"]["opener"]))
    if "closing" in manner.warm:
        ending.append(rng.choice(parts["warm"]["closing"]))
    return _sentence_case(" ".join([*opening, *body, *ending]))
