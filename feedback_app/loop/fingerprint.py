"""Does a loaded version answer as it did when it was examined? A handful of log-probabilities says so.

Taken once, right after a version is first loaded and its files have been compared with their hashes. For each of
`PROMPTS` the version and the base write the beginning of their likeliest answer; where these part, the likeliest next
tokens are kept with their log-probabilities: there another adapter, or none, shows best (the first token of an answer
hardly tells two trained adapters apart). Of the prompts the `KEPT` that part the two furthest stay. Compared at
every later load, and now and then while it serves (vLLM reads adapters from disk again when it has many).

What is compared is the mean absolute difference in nats over all kept tokens, with a tolerance that was measured (see
`TOLERANCE`). Another vLLM, number format or device computes a little differently, so a fingerprint belongs to one of
them (`engine`) and is taken anew on another; the files' hashes still hold there. Hashes are not looked at here.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from serving.client import VllmClient

PROMPTS = (
    "Hello",
    "What is the capital of France?",
    "Can you help me?",
    "Tell me about the moon.",
    "Who are you?",
    "What should I cook tonight?",
    "Thank you!",
    "Write one sentence about the sea.",
)
BEGINNING = 16  # tokens of an answer
LIKELIEST = 5  # tokens kept per prompt: rare ones are mostly noise
KEPT = 4  # prompts
TOLERANCE = 0.1
"""Nats. Measured with vLLM 0.32.0 on CPU, the embedded model and adapters of `dpo` on 24 pairs: the same adapter again,
alone or among 12 other streams, was 0.000 away (bfloat16 and float32, 60 to 100 times each), in the other of the two
number formats 0.013 to 0.038; the base 0.19 to 0.37, an adapter of the opposite taste 0.36 to 0.71, one of the same
taste and another seed 0.10 to 0.12. An adapter that has hardly moved (8 pairs, one pass) is 0.004 from the base and
cannot be told from it, nor need be."""


class Mark(TypedDict):
    """For one kept prompt: token ids of the `context`, the likeliest next `tokens`, and their `logprobs`."""

    context: list[int]
    tokens: list[int]
    logprobs: list[float]


async def take(client: VllmClient, name: str, base: str = "") -> list[Mark] | None:
    """The fingerprint of what answers to `name`; None where its probabilities are no numbers.

    `base` is the name of the base, where that is something else. Raises `ServingError`.
    """
    other = base if base != name else ""
    found = await asyncio.gather(*(_mark(client, name, other, prompt) for prompt in PROMPTS))
    marks = [mark for mark in found if mark is not None]
    if len(marks) < len(found):
        return None
    if not other:
        return marks[:KEPT]
    apart = await asyncio.gather(*(_apart(client, other, mark) for mark in marks))
    order = sorted(range(len(marks)), key=lambda number: -apart[number])
    return [marks[number] for number in order[:KEPT]]


async def distance(client: VllmClient, name: str, kept: Sequence[Mark]) -> float:
    """Nats by which what answers to `name` is from a fingerprint, on average a token; infinite where it has no number.

    Raises `ServingError`.
    """
    apart = await asyncio.gather(*(_apart(client, name, mark) for mark in kept))
    return sum(apart) / len(apart) if apart else 0.0


async def _mark(client: VllmClient, name: str, other: str, prompt: str) -> Mark | None:
    """The likeliest tokens where the answers of the two part, or in the middle of an answer where they do not."""
    opening, ours = await client.greedy(name, prompt, BEGINNING)
    theirs = (await client.greedy(other, prompt, BEGINNING))[1] if other else ours
    common = next((at for at, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), None)
    context = [*opening, *ours[: len(ours) // 2 if common is None else common]]
    found = await client.next_token(name, context, likeliest=LIKELIEST)
    if len(found) < LIKELIEST:
        return None
    return {"context": context, "tokens": list(found), "logprobs": list(found.values())}


async def _apart(client: VllmClient, name: str, mark: Mark) -> float:
    tokens, kept = mark["tokens"], mark["logprobs"]
    found = await client.next_token(name, mark["context"], tokens=tokens)
    if not all(token in found for token in tokens):
        return math.inf
    return sum(abs(found[token] - was) for token, was in zip(tokens, kept, strict=True)) / len(tokens)
