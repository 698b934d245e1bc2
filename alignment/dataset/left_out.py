"""Rows that a stage cannot use: left out one by one, counted by reason, with the judgements they came from.

One row that cannot be used never ends a stage. Whoever meets one raises or catches `Unusable` and gives it to a
`LeftOut`, whose record stands in the stage's metrics and, through them, on the round. A further reason is a further
member of `Reason`. What is not done here: deciding what can be used. Standard library only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from alignment.errors import StageError

NAMED = 100  # judgements that are named for each reason; the others are only counted
LONGEST_WORDS = 200  # characters of what a template said: it may repeat what a person wrote


class Reason(StrEnum):
    """Why a row is left out."""

    NOT_TEXT = "not_text"  # a message whose content is no text, or that is no message
    EMPTY = "empty"  # no question, or a good answer without a word
    SAME_ANSWERS = "same_answers"  # a pair or ranking whose answers are equal
    NO_ANSWER = "no_answer"  # a conversation without an assistant's turn
    TEMPLATE = "template"  # the model's chat template or tokenizer refuses it
    PROMPT_TOO_LONG = "prompt_too_long"
    ANSWER_TOO_LONG = "answer_too_long"


IN_WORDS: dict[str, str] = {
    Reason.NOT_TEXT: "not text",
    Reason.EMPTY: "empty",
    Reason.SAME_ANSWERS: "with equal answers",
    Reason.NO_ANSWER: "without an assistant's turn",
    Reason.TEMPLATE: "refused by the model's chat template",
    Reason.PROMPT_TOO_LONG: "with a prompt too long for the model",
    Reason.ANSWER_TOO_LONG: "with an answer too long for the model",
}
TOO_LONG = (Reason.PROMPT_TOO_LONG, Reason.ANSWER_TOO_LONG)


class Unusable(Exception):
    """One row cannot be used. `words` say more where the reason alone does not; `tokens` are those of a long row."""

    def __init__(self, reason: Reason, words: str = "", tokens: int = 0) -> None:
        super().__init__(f"{IN_WORDS[reason]}{f' ({words})' if words else ''}")
        self.reason = reason
        # A template repeats what it was given: nothing of that may steer a terminal.
        self.words = "".join(sign if sign.isprintable() else "\ufffd" for sign in words[:LONGEST_WORDS])
        self.tokens = tokens


@dataclass(slots=True)
class LeftOut:
    """How many rows were left out by reason, the first words for each, and whose judgements they were."""

    counts: Counter[str] = field(default_factory=Counter)
    words: dict[str, str] = field(default_factory=dict)
    judgements: dict[str, list[str]] = field(default_factory=dict)
    longest: int = 0  # tokens of the longest row that was left out

    def add(self, why: Unusable, judgements: Iterable[str] = ()) -> None:
        """Count one row."""
        self.counts[why.reason] += 1
        self.longest = max(self.longest, why.tokens)
        if why.words:
            self.words.setdefault(why.reason, why.words)
        named = self.judgements.setdefault(why.reason, [])
        named += [each for each in judgements if each not in named][: NAMED - len(named)]

    def update(self, other: LeftOut) -> None:
        """Count what another has counted."""
        self.counts.update(other.counts)
        self.longest = max(self.longest, other.longest)
        for reason, words in other.words.items():
            self.words.setdefault(reason, words)
        for reason, judgements in other.judgements.items():
            named = self.judgements.setdefault(reason, [])
            named += [each for each in judgements if each not in named][: NAMED - len(named)]

    @property
    def total(self) -> int:
        """All rows that were left out."""
        return self.counts.total()

    def to_record(self) -> dict[str, Any]:
        """As metrics hold it: `left_out` by reason; `left_out_rows` are the first words for each and the judgements."""
        return {
            "left_out": {str(reason): self.counts[reason] for reason in Reason if self.counts[reason]},
            "left_out_rows": {
                str(reason): {"words": self.words.get(reason, ""), "judgements": self.judgements.get(reason, [])}
                for reason in Reason
                if self.counts[reason]
            },
        }

    def check(
        self,
        stage: str,
        kept: int,
        needed: int,
        rows: str,
        tokens: str,
        *,
        lacking: str = "",
        remedy: str = "collect shorter ones or raise max_length",
    ) -> None:
        """Raise `StageError` with the counts and reasons when rows were left out and fewer than `needed` are kept.

        `rows` is what they are called, `tokens` how long one may be, in words; `lacking` says what else is missing,
        and is then reason enough. `remedy` is for rows that are too long.
        """
        if not self.total or (kept >= needed and not lacking):
            return
        every = kept + self.total
        rest = lacking or f"and {stage} needs at least {needed} that fit"
        if all(reason in TOO_LONG for reason in self.counts):
            longest = f" (the longest has {self.longest})" if self.longest else ""
            raise StageError(f"{self.total} of {every} {rows} are longer than {tokens}{longest}, {rest}: {remedy}.")
        raise StageError(f"{self.total} of {every} {rows} cannot be used ({self.sentence()}), {rest}: collect others.")

    def sentence(self) -> str:
        """The counts in words: "8 refused by the model's chat template (unknown role: tool), 1 empty"."""
        return ", ".join(in_words(reason, self.counts[reason], self.words.get(reason, "")) for reason in self.counts)


def in_words(reason: str, count: int, words: str = "") -> str:
    """One reason's count as people read it."""
    return f"{count} {IN_WORDS.get(reason, reason)}{f' ({words})' if words else ''}"
