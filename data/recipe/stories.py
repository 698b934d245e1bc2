"""Very short stories of three to six sentences about a named thing, built from hand-written plot pieces."""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import cache
from typing import Any

from .seeds import fill, read_toml


@cache
def seed() -> dict[str, Any]:
    """Return the story seed file."""
    return read_toml("stories")


@cache
def things() -> tuple[Mapping[str, str], ...]:
    """Return the rows of nameable things: thing, place, find, joy."""
    rows = [line.split("|") for line in seed()["things"]["rows"].strip().splitlines()]
    return tuple(dict(zip(("thing", "place", "find", "joy"), row, strict=True)) for row in rows)


def with_article(words: str) -> str:
    """Return ``words`` after "a" or "an"."""
    return ("an " if words[0] in "aeiou" else "a ") + words


def tell(row: Mapping[str, str], adjective: str, length: str, rng: random.Random) -> str:
    """Return a story about ``row["thing"]``: short three sentences, medium four, long five or six."""
    plot: Mapping[str, list[str]] = seed()["plot"]
    article = with_article(adjective)
    slots = {**row, "aadj": article, "Aadj": article[0].upper() + article[1:]}
    begin = rng.choice(plot["begin"])
    order = ["event", "finish"]
    if length != "short":
        order.insert(1, "turn")
    if length == "long":
        if "{place}" not in begin:
            order.insert(0, "home")
        order += ["after"] if rng.random() < 0.5 or "home" not in order else []
    return " ".join(fill(sentence, slots) for sentence in [begin, *(rng.choice(plot[part]) for part in order)])
