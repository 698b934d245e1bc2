"""Does a loaded version answer as it did when it was examined? A handful of log-probabilities says so.

Taken once, right after a version is first loaded and its files have been compared with their hashes: for each of
`PROMPTS` the likeliest first tokens of its answer, with their log-probabilities, and of these prompts the `KEPT` on
which it differs most from the base, because there another adapter, or none, would show. Compared at every later
load, and now and then while it serves (vLLM reads adapters from disk again when it has many).

What is compared is the mean absolute difference in nats over all kept tokens. Measured with vLLM 0.32 on CPU: see
`TOLERANCE`. Another vLLM, number format or device computes a little differently, so a fingerprint belongs to one of
them (`engine`) and is taken anew on another; the files' hashes still hold there. Hashes are not looked at here.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serving.client import VllmClient

PROMPTS = (
    "Hello",
    "What is the capital of France?",
    "How many days are in a week?",
    "Name a colour.",
    "Can you help me?",
    "What is water made of?",
    "Tell me about the moon.",
    "Who are you?",
    "What should I cook tonight?",
    "Is it going to rain tomorrow?",
    "Thank you!",
    "Write one sentence about the sea.",
)
LIKELIEST = 5  # tokens kept per prompt: rare ones are mostly noise
KEPT = 6  # prompts
TOLERANCE = 0.1  # nats

Fingerprint = list[dict[str, Any]]
"""Per kept prompt `prompt`, `tokens` and `logprobs`; JSON."""


async def take(client: VllmClient, name: str, base: str = "") -> Fingerprint | None:
    """The fingerprint of what answers to `name`; None where its probabilities are no numbers.

    With `base`, the name of the base, the prompts that tell the two apart best are kept. Raises `ServingError`.
    """
    found = await asyncio.gather(*(client.first_token(name, prompt, likeliest=LIKELIEST) for prompt in PROMPTS))
    if not all(len(one) >= LIKELIEST for one in found):
        return None
    marks = [
        {"prompt": prompt, "tokens": list(one), "logprobs": list(one.values())}
        for prompt, one in zip(PROMPTS, found, strict=True)
    ]
    if base and base != name:
        apart = await asyncio.gather(*(_apart(client, base, mark) for mark in marks))
        order = sorted(range(len(marks)), key=lambda number: -apart[number])
        marks = [marks[number] for number in sorted(order[:KEPT])]
    return marks[:KEPT]


async def distance(client: VllmClient, name: str, kept: Sequence[Mapping[str, Any]]) -> float:
    """Nats by which what answers to `name` is from a fingerprint, on average a token; infinite where it has no number.

    Raises `ServingError`.
    """
    apart = await asyncio.gather(*(_apart(client, name, mark) for mark in kept))
    return sum(apart) / len(apart) if apart else 0.0


async def _apart(client: VllmClient, name: str, mark: Mapping[str, Any]) -> float:
    tokens: Sequence[int] = mark["tokens"]
    found = await client.first_token(name, mark["prompt"], tokens=tokens)
    if not all(token in found for token in tokens):
        return math.inf
    kept: Sequence[float] = mark["logprobs"]
    return sum(abs(found[token] - was) for token, was in zip(tokens, kept, strict=True)) / len(tokens)
