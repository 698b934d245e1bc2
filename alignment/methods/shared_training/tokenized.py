"""Preference pairs and single answers as token ids, through the model's own chat template.

Nothing is cut silently: a row that does not fit is left out whole and counted, because half an answer
would teach the model not to end. So is a row that is empty, whose answers are equal, or that the chat template
refuses (`Laying`): one row never ends a stage.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from alignment.dataset.judgement import Message
from alignment.dataset.left_out import LeftOut, Reason, Unusable
from alignment.dataset.rows import PairRow, SftRow
from alignment.methods.shared_training.chat_template import ChatTemplate


@dataclass(frozen=True, slots=True)
class TokenizedPair:
    """One pair: `prompt`, `chosen` and `rejected` are token ids; both answers end with the template's end of turn.

    `weight`, `margin` and `target` are the row's (`rows.PairRow`); `imitate` is the part of the weight
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


def tokenize_pairs(
    rows: Iterable[PairRow],
    tokenizer: Any,
    max_length: int,
    *,
    bad: Container[tuple[tuple[Message, ...], str]] = (),
) -> tuple[list[TokenizedPair], LeftOut]:
    """Tokenize every pair that can be used and fits into `max_length` tokens; the second value counts the others.

    As an answer to imitate, a chosen one counts as far as people chose it, and one that they found `bad` all the
    same (prompt and text) not at all.
    """
    kept: list[TokenizedPair] = []
    laying = Laying(tokenizer, max_length)
    for row in rows:
        laid = laying.out(row.prompt, [row.chosen, row.rejected], row.judgements)
        if laid is not None:
            prompt, chosen, rejected = laid
            imitate = 0.0 if (row.prompt, row.chosen) in bad else row.target
            kept.append(TokenizedPair(prompt, chosen, rejected, row.weight, row.margin, row.target, imitate))
    return kept, laying.left


def tokenize_answers(
    rows: Iterable[SftRow], tokenizer: Any, max_length: int | None
) -> tuple[list[TokenizedAnswer], LeftOut]:
    """Tokenize every answer that can be used and fits with its prompt; the second value counts the others.

    Without `max_length`, all fit.
    """
    kept: list[TokenizedAnswer] = []
    laying = Laying(tokenizer, max_length)
    for row in rows:
        laid = laying.out(row.prompt, [row.completion], row.judgements)
        if laid is not None:
            prompt, completion = laid
            kept.append(TokenizedAnswer(prompt, completion, row.weight))
    return kept, laying.left


class Laying:
    """Lays rows out as token ids, one after another; those that cannot be used are counted in `left`.

    The one place where a row meets the chat template: every stage's rows and prompts come through here.
    """

    def __init__(self, tokenizer: Any, max_length: int | None) -> None:
        self.left = LeftOut()
        self._template = ChatTemplate(tokenizer)
        self._max_length = max_length

    def out(
        self, prompt: Sequence[Message], answers: Sequence[str], judgements: Iterable[str], *, good: bool = True
    ) -> tuple[list[int], ...] | None:
        """The prompt's ids and each answer's, the best answer first; None when the row is left out.

        `good` says whether the first answer is one to learn: without a word it then is none.
        """
        try:
            return self._laid(prompt, answers, good)
        except Unusable as why:
            self.left.add(why, judgements)
            return None

    def prompt(self, prompt: Sequence[Message], judgements: Iterable[str]) -> tuple[Message, ...] | None:
        """A prompt that is to be answered, with roles that the template knows; None when it is left out."""
        try:
            known = self._template.prompt(prompt)
            self._check_length(ids := len(self._template.ids(known, opens=True)), ids)
        except Unusable as why:
            self.left.add(why, judgements)
            return None
        return known

    def conversation(
        self, turns: Sequence[Message], judgements: Iterable[str], *, learned: Sequence[int]
    ) -> tuple[Message, ...] | None:
        """A whole conversation whose turns at the places `learned` are to be learned; None when it is left out."""
        try:
            if not any(turn.role == "assistant" for turn in turns):
                raise Unusable(Reason.NO_ANSWER)
            if not any(turns[place].content.strip() for place in learned):
                raise Unusable(Reason.EMPTY)
            known = self._template.prompt(turns)
            self._check_length(0, len(self._template.ids(known)))
        except Unusable as why:
            self.left.add(why, judgements)
            return None
        return known

    def _laid(self, prompt: Sequence[Message], answers: Sequence[str], good: bool) -> tuple[list[int], ...]:
        if good and not answers[0].strip():
            raise Unusable(Reason.EMPTY)
        if len(answers) > 1 and len({" ".join(answer.split()) for answer in answers}) == 1:
            raise Unusable(Reason.SAME_ANSWERS)
        start, *ends = completion_ids(self._template, prompt, answers)
        if len(ends) > 1 and all(end == ends[0] for end in ends):
            raise Unusable(Reason.SAME_ANSWERS, "as the chat template renders them")
        self._check_length(len(start), len(start) + max(map(len, ends)))
        return (start, *ends)

    def _check_length(self, prompt: int, whole: int) -> None:
        most = self._max_length
        if most is not None and whole > most:
            raise Unusable(Reason.PROMPT_TOO_LONG if prompt >= most else Reason.ANSWER_TOO_LONG, tokens=whole)


def completion_ids(template: ChatTemplate, prompt: Sequence[Message], answers: Sequence[str]) -> tuple[list[int], ...]:
    """The prompt's ids and each answer's, as the chat template renders them. Raises `Unusable` where it does not.

    Where a template renders the prompt alone otherwise than before an answer, the answers begin where
    all renderings part, as TRL does it.
    """
    known = template.prompt(prompt)
    alone = template.ids(known, opens=True)
    whole = [template.ids([*known, Message("assistant", answer)]) for answer in answers]
    shared = min((_common(alone, ids) for ids in whole), default=len(alone))
    return (alone[:shared], *(ids[shared:] for ids in whole))


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False)))
