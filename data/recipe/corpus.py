"""Assembles the corpus: single questions, short conversations, conversations with a system prompt.

Rows are ``{"messages": [{"role", "content"}, ...]}``, the form that pretraining and supervised finetuning read.
"""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .asking import WEIGHTS, answer, ask, draw_category, normalised
from .manner import draw_manner
from .seeds import read_toml

SYSTEM_SHARE = 0.08
CONVERSATION_SHARE = 0.07

Row = dict[str, list[dict[str, str]]]


def turn(
    rng: random.Random, refused: Collection[str], weights: Mapping[str, float] = MappingProxyType(WEIGHTS)
) -> list[dict[str, str]]:
    """Return one question and its answer; no question's normalised text is in ``refused``."""
    category = draw_category(rng, weights)
    while True:
        asked = ask(category, rng, held=False)
        if normalised(asked.prompt) not in refused:
            break
    reply = answer(asked, draw_manner(category, rng), rng)
    return [{"role": "user", "content": asked.prompt}, {"role": "assistant", "content": reply}]


def rows(
    count: int, seed: int, refused: Collection[str] = (), weights: Mapping[str, float] = MappingProxyType(WEIGHTS)
) -> Iterator[Row]:
    """Yield ``count`` conversations, the same ones for the same ``seed``."""
    rng = random.Random(seed)
    systems: list[str] = read_toml("common")["systems"]["texts"]
    for _ in range(count):
        messages: list[dict[str, str]] = []
        if rng.random() < SYSTEM_SHARE:
            messages.append({"role": "system", "content": rng.choice(systems)})
        turns = rng.choice([2, 2, 3]) if rng.random() < CONVERSATION_SHARE else 1
        for _ in range(turns):
            messages += turn(rng, refused, weights)
        yield {"messages": messages}


def write(path: Path, items: Any) -> int:
    """Write ``items`` to ``path`` as JSON lines and return how many there were."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with path.open("w", encoding="utf-8") as out:
        for item in items:
            out.write(json.dumps(item, ensure_ascii=False) + "\n")
            count += 1
    return count
