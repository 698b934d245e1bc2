"""How alignment gets completions: a protocol, given by whoever starts it.

`alignment` never knows whether the tokens come from a model in this process or from vLLM over HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from alignment.dataset.judgement import Message


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample. `temperature` 0 is greedy; `seed` makes a call repeatable (prompt i uses seed + i)."""

    temperature: float
    max_tokens: int
    seed: int
    n: int = 1


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion. `logprobs` are natural-log probabilities of its tokens, when the sampler gives them."""

    text: str
    finish_reason: str
    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()


class Sampler(Protocol):
    """Anything that completes prompts under a version's name."""

    def sample(self, version: str, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[list[Sample]]:
        """Per prompt, `sampling.n` samples, in order. Raises `ConnectionError` when the model cannot be reached."""
        ...


@runtime_checkable
class Elsewhere(Sampler, Protocol):
    """A sampler in another process, which answers as the policy only after it was handed it."""

    def publish(self, adapter: Path, step: int) -> str:
        """Take the adapter in a folder as the policy of a step and forget the one before; returns its name here.

        Raises `ConnectionError` when it cannot be handed over.
        """
        ...

    def close(self) -> None:
        """Forget the policy."""
        ...
