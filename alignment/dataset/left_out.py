"""Rows that a stage cannot use: left out one by one, counted by reason, with the judgements they came from.

One row that cannot be used never ends a stage. Whoever meets one raises or catches `Unusable` and gives it to a
`LeftOut`, whose record stands in the stage's metrics and, through them, on the round. What every stage can meet is a
member of `Reason`; what only a reader of files knows comes in its own words. What is not done here: deciding what can
be used. Standard library only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from alignment.errors import StageError
from alignment.records import StageMetrics

NAMED = 100  # judgements that are named for each reason; the others are only counted
REASONS = 40  # reasons that are told apart: a reader's words may name a value of the file
OTHERS = "of other reasons"  # what further ones are counted under
SHOWN = 5  # judgements or lines that are shown to people for each reason
LONGEST_WORDS = 200  # characters of what a template said: it may repeat what a person wrote


class Reason(StrEnum):
    """Why a row is left out."""

    NOT_TEXT = "not_text"  # a message whose content is no text, or that is no message
    EMPTY = "empty"  # no question, or a good answer without a word
    SAME_ANSWERS = "same_answers"  # a pair or ranking whose answers are equal
    NOT_FINISHED = "not_finished"  # an answer that a person stopped, or that has no end
    NO_ANSWER = "no_answer"  # a conversation without an assistant's turn
    TEMPLATE = "template"  # the model's chat template or tokenizer refuses it
    PROMPT_TOO_LONG = "prompt_too_long"
    ANSWER_TOO_LONG = "answer_too_long"


IN_WORDS: dict[str, str] = {
    Reason.NOT_TEXT: "not text",
    Reason.EMPTY: "empty",
    Reason.SAME_ANSWERS: "with equal answers",
    Reason.NOT_FINISHED: "with an answer that was stopped or cut off",
    Reason.NO_ANSWER: "without an assistant's turn",
    Reason.TEMPLATE: "refused by the model's chat template",
    Reason.PROMPT_TOO_LONG: "with a prompt too long for the model",
    Reason.ANSWER_TOO_LONG: "with an answer too long for the model",
}
TOO_LONG = (Reason.PROMPT_TOO_LONG, Reason.ANSWER_TOO_LONG)


class Unusable(Exception):
    """One row cannot be used.

    `reason` is a `Reason`, or the words of a reader of files. `words` say more where the reason alone does not;
    `tokens` are those of a long row.
    """

    def __init__(self, reason: str, words: str = "", tokens: int = 0) -> None:
        super().__init__(in_words(reason, 1, words))
        # A template repeats what it was given, a reader what stands in a file: nothing of that may steer a terminal.
        self.reason = reason if isinstance(reason, Reason) else _printable(reason)
        self.words = _printable(words)
        self.tokens = tokens


@dataclass(slots=True)
class LeftOut:
    """How many rows were left out by reason, the first words for each, and whose judgements they were.

    A row of a file has no judgement; what is named is its line. `notes` are sentences about what was read otherwise
    than it stands there.
    """

    counts: Counter[str] = field(default_factory=Counter)
    words: dict[str, str] = field(default_factory=dict)
    judgements: dict[str, list[str]] = field(default_factory=dict)
    longest: int = 0  # tokens of the longest row that was left out
    notes: list[str] = field(default_factory=list)

    def add(self, why: Unusable, judgements: Iterable[str] = ()) -> None:
        """Count one row, which came from these judgements (or lines)."""
        reason = why.reason if why.reason in self.counts or len(self.counts) < REASONS else OTHERS
        self.counts[reason] += 1
        self.longest = max(self.longest, why.tokens)
        if why.words:
            self.words.setdefault(reason, why.words)
        self._name(reason, judgements)

    def update(self, other: LeftOut) -> None:
        """Count what another has counted."""
        self.counts.update(other.counts)
        self.longest = max(self.longest, other.longest)
        for reason, words in other.words.items():
            self.words.setdefault(reason, words)
        for reason, judgements in other.judgements.items():
            self._name(reason, judgements)
        self.notes += [note for note in other.notes if note not in self.notes]

    def _name(self, reason: str, judgements: Iterable[str]) -> None:
        named = self.judgements.setdefault(reason, [])
        if len(named) < NAMED:
            named += [each for each in judgements if each not in named][: NAMED - len(named)]

    @property
    def total(self) -> int:
        """All rows that were left out."""
        return self.counts.total()

    def to_record(self) -> StageMetrics:
        """As a stage's metrics hold it: `left_out` by reason, `left_out_rows` with the first words and the judgements.

        `notes` are there where reading a file had something to say.
        """
        known = [reason for reason in Reason if self.counts[reason]]
        reasons = [*known, *(reason for reason in self.counts if reason not in known and self.counts[reason])]
        record: StageMetrics = {
            "left_out": {str(reason): self.counts[reason] for reason in reasons},
            "left_out_rows": {
                str(reason): {"words": self.words.get(reason, ""), "judgements": self.judgements.get(reason, [])}
                for reason in reasons
            },
        }
        if self.notes:
            record["notes"] = list(self.notes)
        return record

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
    """One reason's count as people read it: "2 empty", and in a reader's own words "2 (has images)"."""
    return f"{count} {IN_WORDS.get(reason) or f'({reason})'}{f' ({words})' if words else ''}"


def from_where(judgements: Sequence[str], count: int) -> str:
    """Where such rows came from, as people read it: ", from 3f2a, 77c1 …", the first few of them."""
    if not judgements:
        return ""
    return f", from {', '.join(judgements[:SHOWN])}{' …' if max(count, len(judgements)) > SHOWN else ''}"


def _printable(words: str) -> str:
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in words[:LONGEST_WORDS])
