"""Preference pairs and single answers as token ids, through the model's own chat template.

Nothing is cut silently: a row that does not fit is left out whole and counted, because half an answer
would teach the model not to end.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from alignment.judgement import Message
from alignment.rows import PairRow, SftRow


@dataclass(frozen=True, slots=True)
class TokenizedPair:
    """One pair: `prompt`, `chosen` and `rejected` are token ids; both answers end with the template's end of turn.

    `weight`, `margin` and `target` are the row's (`alignment.rows.PairRow`); `imitate` is the part of the weight
    that the chosen answer has as one worth imitating.
    """

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]
    weight: float
    margin: float = 1.0
    target: float = 1.0
    imitate: float = 1.0


@dataclass(frozen=True, slots=True)
class TokenizedAnswer:
    """One answer worth imitating: `prompt` and `completion` are token ids, as in `TokenizedPair`."""

    prompt: list[int]
    completion: list[int]
    weight: float


@dataclass(slots=True)
class Left:
    """How many rows were left out, and why."""

    prompt_too_long: int = 0
    answer_too_long: int = 0
    longest: int = 0  # tokens of the longest row that was left out

    def fits(self, prompt: int, whole: int, most: int) -> bool:
        """Whether a row of `whole` tokens, `prompt` of them before the answer, fits into `most`; else it is counted."""
        if whole <= most:
            return True
        self.longest = max(self.longest, whole)
        if prompt >= most:
            self.prompt_too_long += 1
        else:
            self.answer_too_long += 1
        return False


def tokenize_pairs(
    rows: Iterable[PairRow],
    tokenizer: Any,
    max_length: int,
    *,
    bad: Container[tuple[tuple[Message, ...], str]] = (),
) -> tuple[list[TokenizedPair], Left]:
    """Tokenize every pair that fits into `max_length` tokens; the second value counts the others.

    As an answer to imitate, a chosen one counts as far as people chose it, and one that they found `bad` all the
    same (prompt and text) not at all.
    """
    kept: list[TokenizedPair] = []
    left = Left()
    for row in rows:
        prompt, chosen, rejected = completion_ids(tokenizer, row.prompt, (row.chosen, row.rejected))
        if left.fits(len(prompt), len(prompt) + max(len(chosen), len(rejected)), max_length):
            imitate = 0.0 if (row.prompt, row.chosen) in bad else row.target
            kept.append(TokenizedPair(prompt, chosen, rejected, row.weight, row.margin, row.target, imitate))
    return kept, left


def tokenize_answers(rows: Iterable[SftRow], tokenizer: Any, max_length: int) -> tuple[list[TokenizedAnswer], Left]:
    """Tokenize every answer that fits into `max_length` tokens with its prompt; the second value counts the others."""
    kept: list[TokenizedAnswer] = []
    left = Left()
    for row in rows:
        prompt, completion = completion_ids(tokenizer, row.prompt, (row.completion,))
        if left.fits(len(prompt), len(prompt) + len(completion), max_length):
            kept.append(TokenizedAnswer(prompt, completion, row.weight))
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
