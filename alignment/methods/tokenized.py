"""Preference pairs as token ids, through the model's own chat template.

Nothing is cut silently: a pair that does not fit is left out whole and counted, because half an answer
would teach the model not to end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from alignment.judgement import Message
from alignment.rows import PairRow


@dataclass(frozen=True, slots=True)
class TokenizedPair:
    """One pair: `prompt`, `chosen` and `rejected` are token ids; both answers end with the template's end of turn.

    `weight`, `margin` and `target` are the row's (`alignment.rows.PairRow`).
    """

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]
    weight: float
    margin: float = 1.0
    target: float = 1.0


@dataclass(slots=True)
class Left:
    """How many pairs were left out, and why."""

    prompt_too_long: int = 0
    answer_too_long: int = 0
    longest: int = 0  # tokens of the longest pair that was left out


def tokenize_pairs(rows: Iterable[PairRow], tokenizer: Any, max_length: int) -> tuple[list[TokenizedPair], Left]:
    """Tokenize every pair that fits into `max_length` tokens; the second value counts the others."""
    kept: list[TokenizedPair] = []
    left = Left()
    for row in rows:
        prompt, chosen, rejected = completion_ids(tokenizer, row.prompt, (row.chosen, row.rejected))
        longest = len(prompt) + max(len(chosen), len(rejected))
        if longest <= max_length:
            kept.append(TokenizedPair(prompt, chosen, rejected, row.weight, row.margin, row.target))
            continue
        left.longest = max(left.longest, longest)
        if len(prompt) >= max_length:
            left.prompt_too_long += 1
        else:
            left.answer_too_long += 1
    return kept, left


def completion_ids(tokenizer: Any, prompt: Sequence[Message], answers: Sequence[str]) -> tuple[list[int], ...]:
    """The prompt's ids and each answer's, as the chat template renders them.

    Where a template renders the prompt alone otherwise than before an answer, the answers begin where
    all renderings part, as TRL does it.
    """
    turns = [{"role": message.role, "content": message.content} for message in prompt]
    alone: list[int] = _render(tokenizer, turns, add_generation_prompt=True)
    whole = [_render(tokenizer, [*turns, {"role": "assistant", "content": answer}]) for answer in answers]
    shared = min((_common(alone, ids) for ids in whole), default=len(alone))
    return (alone[:shared], *(ids[shared:] for ids in whole))


def _render(tokenizer: Any, turns: list[dict[str, str]], *, add_generation_prompt: bool = False) -> list[int]:
    rendered = tokenizer.apply_chat_template(
        turns, tokenize=True, add_generation_prompt=add_generation_prompt, return_dict=False
    )
    return list(rendered)


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False)))
