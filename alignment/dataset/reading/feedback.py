"""Feedback in no format: what every reader makes of a record, and every writer makes a record of.

A reader takes a record of somebody's file and gives feedback; a writer does the reverse. Both either keep
every value or raise `Skip` with the reason, which whoever reads or writes counts: nothing is bent to fit.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from alignment.dataset.judgement import Message

Record = dict[str, Any]

MOST_ANSWERS = 16  # what one verdict may rank
LONGEST_VALUE = 40  # characters of a value that a reason names
_DENSE: tuple[list[int | None], ...] = ([1, 2], [None], [2, 1], [1, 1])
UNKEPT = re.compile("[\x00\ud800-\udfff]")  # what no database keeps
LONGEST_DEMONSTRATION = 20_000  # characters, as in a correction


class Skip(Exception):
    """A record that cannot become feedback, or feedback that a format cannot carry.

    `reason` is what it is counted under; `value` is what stood there instead, where that helps. `str` is both.
    """

    def __init__(self, reason: str, value: object = None) -> None:
        self.reason = reason
        self.value = "" if value is None else " ".join(str(value)[:LONGEST_VALUE].split())
        super().__init__(f"{reason}: {self.value}" if self.value else reason)


class Kind(StrEnum):
    """What a piece of feedback says."""

    PAIR = "pair"  # two answers, one better
    MARK = "mark"  # one answer, good or bad
    RANKING = "ranking"  # two or more answers in order, ties allowed
    VOTE = "vote"  # two answers as they were shown: one better, equal, or both bad
    DEMONSTRATION = "demonstration"  # one answer worth imitating; nobody compared it with another


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `rank` counts from the best upwards, equal is a tie; `version` wrote it, for logs that say so."""

    text: str
    rank: int | None = None
    good: bool | None = None
    version: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Feedback:
    """One verdict on the answers to one prompt.

    A pair is ranks 1 and 2 in this order; a vote keeps left and right. `rater` is who said it, as the source
    names them, and never leaves again. What stands below it describes the row and is no part of the verdict.
    """

    prompt: tuple[Message, ...]
    answers: tuple[Answer, ...]
    rater: str = ""
    comment: str = ""
    reasons: tuple[str, ...] = ()
    weight: float = field(default=1.0, compare=False)
    origin: str = field(default="", compare=False)
    judgements: tuple[str, ...] = field(default=(), compare=False)
    at: float = field(default=0.0, compare=False)  # seconds since the epoch

    @property
    def ranked(self) -> bool:
        """Whether every answer has a rank."""
        return all(answer.rank is not None for answer in self.answers)

    @property
    def digest(self) -> str:
        """Equal for equal verdicts, whatever file they came in."""
        content = [
            [[message.role, message.content] for message in self.prompt],
            sorted([answer.text, answer.rank or 0, str(answer.good)] for answer in self.answers),
            self.rater,
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def pair(prompt: Sequence[Message], chosen: str, rejected: str, **more: Any) -> Feedback:
    """`chosen` is better than `rejected`."""
    return Feedback(tuple(prompt), (Answer(chosen, 1), Answer(rejected, 2)), **more)


def mark(prompt: Sequence[Message], completion: str, good: bool, **more: Any) -> Feedback:
    """This answer is good, or it is bad."""
    return Feedback(tuple(prompt), (Answer(completion, good=good),), **more)


def ranking(prompt: Sequence[Message], texts: Sequence[str], ranks: Sequence[int], **more: Any) -> Feedback:
    """Answers in order; `ranks[i]` belongs to `texts[i]`."""
    return Feedback(tuple(prompt), tuple(map(Answer, texts, ranks)), **more)


def demonstration(prompt: Sequence[Message], completion: str, **more: Any) -> Feedback:
    """An answer worth imitating."""
    return Feedback(tuple(prompt), (Answer(completion),), **more)


def two(feedback: Feedback) -> tuple[str, str]:
    """Chosen and rejected of a pair."""
    better, worse = sorted(feedback.answers, key=lambda answer: answer.rank or 0)
    return better.text, worse.text


def only(feedback: Feedback) -> Answer:
    """The answer of a mark or a demonstration."""
    (answer,) = feedback.answers
    return answer


def checked(feedback: Feedback) -> Feedback:
    """The feedback when a judgement can be made of it, with ranks 1, 2, 3 … Raises `Skip` with the reason."""
    roles = [turn.role for turn in feedback.prompt]
    if "user" not in roles or roles[-1] not in ("user", "tool"):
        raise Skip("no question before the answer")
    texts = [answer.text for answer in feedback.answers]
    if not all(map(str.strip, texts)):
        raise Skip("empty answer")
    if len(texts) > 1 and len({" ".join(text.split()) for text in texts}) < len(texts):
        raise Skip("both answers are the same" if len(texts) == 2 else "two answers are the same")
    if len(texts) > MOST_ANSWERS:
        raise Skip(f"more than {MOST_ANSWERS} answers")
    if len(texts) > 1 and not feedback.ranked and not all(answer.good is False for answer in feedback.answers):
        raise Skip("not every answer has a rank")
    if len(texts) == 1 and only(feedback).good is None and len(texts[0]) > LONGEST_DEMONSTRATION:
        raise Skip(f"a demonstration of more than {LONGEST_DEMONSTRATION:,} characters")
    for text in (*texts, *[turn.content for turn in feedback.prompt], feedback.comment, *feedback.reasons):
        if UNKEPT.search(text):
            raise Skip("a character that no database keeps (NUL or half of a pair)")
    return dense(feedback)


def dense(feedback: Feedback) -> Feedback:
    """Ranks as 1, 2, 3 … without gaps, in the same order with the same ties."""
    if [answer.rank for answer in feedback.answers] in _DENSE:  # as nearly all are
        return feedback
    places = {rank: place for place, rank in enumerate(sorted({answer.rank or 0 for answer in feedback.answers}), 1)}
    if not feedback.ranked or all(place == rank for rank, place in places.items()):
        return feedback
    answers = tuple(replace(answer, rank=places[answer.rank or 0]) for answer in feedback.answers)
    return replace(feedback, answers=answers)


def whole(value: Any) -> int:
    """A rank as a number, also where it is written as a text. Raises `Skip`."""
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not abs(number) <= 1e9 or number != int(number):
        raise Skip("a rank is not a whole number")
    return int(number)


class Ranks:
    """How a file counts its ranks, to be said aloud: they are read as an order, wherever they start."""

    def __init__(self) -> None:
        self.starts: Counter[int] = Counter()
        self.ties = self.gaps = 0

    def see(self, feedback: Feedback) -> None:
        """Take note of one ranking's own numbers."""
        if not feedback.ranked:
            return
        found = sorted(answer.rank or 0 for answer in feedback.answers)
        self.starts[found[0]] += 1
        self.ties += len(set(found)) < len(found)
        self.gaps += found[-1] - found[0] + 1 > len(set(found))

    def notes(self) -> list[str]:
        """One sentence per fact, most important first; none when every ranking is 1, 2, 3 …"""
        notes = []
        if set(self.starts) - {1}:
            starts = ", ".join(f"{start} ({count} rankings)" for start, count in sorted(self.starts.items()))
            notes.append(f"Ranks start at {starts}; the lowest number is taken as the best.")
        if self.ties:
            notes.append(f"{self.ties} rankings have ties; they are kept.")
        if self.gaps:
            notes.append(f"{self.gaps} rankings skip numbers; only the order counts.")
        return notes


def same_prefix(chosen: Iterable[Message], rejected: Iterable[Message]) -> tuple[Message, ...]:
    """What both sides begin with. Raises `Skip` when they differ before the last answer."""
    left, right = tuple(chosen), tuple(rejected)
    if left != right:
        raise Skip("the two conversations differ before the last answer")
    return left
