"""Liked and disliked answers as token ids, through the model's own chat template. Nothing is cut silently."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from alignment.dataset.left_out import LeftOut
from alignment.dataset.rows import MarkRow
from alignment.methods.shared_training.tokenized import Laying


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


def tokenize_marks(rows: Iterable[MarkRow], tokenizer: Any, max_length: int) -> tuple[list[TokenizedMark], LeftOut]:
    """Tokenize every row that can be used and fits into `max_length` tokens; the second value counts the others."""
    kept: list[TokenizedMark] = []
    laying = Laying(tokenizer, max_length)
    for row in rows:
        laid = laying.out(row.prompt, [row.completion], row.judgements, good=row.label)
        if laid is not None:
            prompt, completion = laid
            kept.append(TokenizedMark(prompt, completion, row.label, row.weight, row.target))
    return kept, laying.left
