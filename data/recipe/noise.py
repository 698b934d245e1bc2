"""How people really type: prefixes, no capitals, no punctuation, dropped apostrophes, a slip of the finger."""

from __future__ import annotations

import random
import re
from functools import cache

from .seeds import read_toml


@cache
def _pieces() -> dict[str, list[str]]:
    pieces: dict[str, list[str]] = read_toml("common")["noise"]
    return pieces


def _slip(text: str, rng: random.Random) -> str:
    words = [found for found in re.finditer(r"[a-z]{5,}", text)]
    if not words:
        return text
    word = rng.choice(words)
    at = rng.randrange(word.start() + 1, word.end() - 1)
    if rng.random() < 0.5:
        return text[:at] + text[at + 1 :]
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def typed(prompt: str, rng: random.Random, *, amount: float = 1.0) -> str:
    """Return ``prompt`` as somebody might type it; ``amount`` scales how often anything is changed."""

    def happens(chance: float) -> bool:
        return rng.random() < chance * amount

    text = prompt[0].upper() + prompt[1:]
    if happens(0.22):
        prefix = rng.choice(_pieces()["prefixes"])
        text = prefix + (
            text[0].lower() + text[1:] if not prefix.rstrip().endswith((".", "!", "?")) and rng.random() < 0.8 else text
        )
    if happens(0.10):
        suffix = rng.choice(_pieces()["suffixes"])
        text = (text if text[-1] in ".!?" else text + ".") if suffix[1].isupper() else text.rstrip(".!?: ")
        text += suffix
        if suffix[1].islower() and rng.random() < 0.6:
            text += "?" if prompt.rstrip().endswith("?") else "."
    if happens(0.15):
        text = text.replace("colour", "color").replace("Colour", "Color").replace("grey", "gray")
    if happens(0.15):
        text = text.replace("'", rng.choice(["", "’"]))
    if happens(0.22):
        text = text.rstrip(".!?") or text
    elif happens(0.06):
        text += rng.choice(["?", "!", "??", "...", " ?", "?!", " :)"])
    if happens(0.03):
        text = _slip(text, rng)
    if happens(0.26):
        text = text.lower()
    elif happens(0.03):
        text = text.upper()
    elif happens(0.03):
        text = text.title()
    return text
