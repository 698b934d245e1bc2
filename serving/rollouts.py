"""A policy in training, sampled through vLLM: adapters under names of their own, behind people's requests.

Synchronous, as training is. What may not be done here: touching a name that is not this run's.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Sequence
from pathlib import Path

from serving.client import VllmClient
from serving.sampler import HttpSampler, Sample, SamplingLike, Turn

BEHIND_PEOPLE = 10
"""vLLM's `priority` of rollouts: lower goes first, and people's requests have 0."""

AT_ONCE = 32  # requests; vLLM batches them

# The model's own generation settings (top-p, say) are for people: rollouts come from the whole distribution.
WHOLE = {"priority": BEHIND_PEOPLE, "top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}


class VllmRollouts:
    """Loads each step's policy into vLLM under a new name and samples from it.

    Raises `VllmUnreachable` (a `ConnectionError`) when nobody answers and `VllmError` when vLLM refuses.
    """

    def __init__(self, url: str, out: Path) -> None:
        """`out` is the attempt's folder, whose adapters vLLM must be able to read under the same path."""
        self._url = url
        self._sampler = HttpSampler(url, AT_ONCE, extra=WHOLE)
        # Never a name that was used before: vLLM keeps what it has loaded under one, and its cache goes by it.
        self._prefix = f"{prefix(out)}{secrets.token_hex(3)}-"
        self._loaded = ""

    def publish(self, adapter: Path, step: int) -> str:
        """Have vLLM answer as this adapter and forget the one before; returns the name to sample from."""
        name = f"{self._prefix}{step}"
        asyncio.run(self._switch(name, adapter))
        return name

    def sample(self, version: str, prompts: Sequence[Sequence[Turn]], sampling: SamplingLike) -> list[list[Sample]]:
        """Per prompt, `sampling.n` samples, in order.

        Log-probabilities are vLLM's own where the temperature is 1, else left out: vLLM gives those of the
        untempered model, which was not what it sampled from.
        """
        found = self._sampler.sample(version, prompts, sampling)
        if sampling.temperature == 1:
            return found
        return [[Sample(one.text, one.finish_reason, one.tokens) for one in samples] for samples in found]

    def close(self) -> None:
        """Have vLLM forget the last one."""
        self._sampler.close()
        asyncio.run(self._switch("", None))

    async def _switch(self, name: str, adapter: Path | None) -> None:
        async with VllmClient(self._url) as client:
            if adapter is not None:
                await client.load(name, str(adapter))
            before, self._loaded = self._loaded, name
            if before:
                await client.unload(before)


def prefix(out: Path) -> str:
    """How the names of an attempt's rollouts begin."""
    return f"rollout-{hashlib.sha256(str(out.resolve()).encode()).hexdigest()[:8]}-"


async def forget(url: str, attempts: Sequence[Path]) -> None:
    """Unload what the rollouts of attempts that died have left in vLLM."""
    beginnings = tuple(prefix(out) for out in attempts)
    async with VllmClient(url) as client:
        for model in await client.models():
            if beginnings and model.name.startswith(beginnings):
                await client.unload(model.name)
