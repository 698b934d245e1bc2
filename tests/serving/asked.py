"""Prompts and sampling settings as plain values, as `serving` takes them from whoever asks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Turn:
    role: str
    content: str


@dataclass(frozen=True)
class Sampling:
    temperature: float = 1.0
    max_tokens: int = 50
    seed: int = 100
    n: int = 2


PROMPTS = [[Turn("user", f"question {number}")] for number in range(20)]
