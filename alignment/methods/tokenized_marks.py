"""Liked and disliked answers as token ids, through the model's own chat template. Nothing is cut silently."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from alignment.methods.tokenized import Left, completion_ids
from alignment.rows import MarkRow


@dataclass(frozen=True, slots=True)
class TokenizedMark:
    """One marked answer: `prompt` and `completion` are token ids, the answer ends with the template's end of turn.

    `target` is the share of people who say what `label` says.
    """

    prompt: list[int]
    completion: list[int]
    label: bool
    weight: float
    target: float = 1.0


def tokenize_marks(rows: Iterable[MarkRow], tokenizer: Any, max_length: int) -> tuple[list[TokenizedMark], Left]:
    """Tokenize every row that fits into `max_length` tokens; the second value counts the others."""
    kept: list[TokenizedMark] = []
    left = Left()
    for row in rows:
        prompt, completion = completion_ids(tokenizer, row.prompt, (row.completion,))
        if left.fits(len(prompt), len(prompt) + len(completion), max_length):
            kept.append(TokenizedMark(prompt, completion, row.label, row.weight, row.target))
    return kept, left
