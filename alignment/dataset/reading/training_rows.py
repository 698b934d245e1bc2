"""Feedback as rows to train on: what import makes judgements of, a stage makes rows of, by the same checks.

- A pair, or a vote for one of two, is a pair. A ranking is a group for listwise losses and, beside it, every strict
  pair; those weigh k − 1 in all for k places, as in `compile.pairs`. A tie alone is nothing to learn from.
- A good or bad answer is a mark, and so is each of two that are both bad.
- An answer worth imitating is a row for it; a conversation of several keeps its turns together (`conversations`).

What is not done here: reading files, or weighing people.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby

from alignment.dataset.judgement import Message
from alignment.dataset.left_out import Reason, Unusable
from alignment.dataset.reading.feedback import Answer, Feedback, Skip, checked
from alignment.dataset.reading.training_columns import Columns
from alignment.dataset.rows import GroupRow, MarkRow, PairRow, Row, SftRow

_REASONS = {
    "empty answer": Reason.EMPTY,
    "both answers are the same": Reason.SAME_ANSWERS,
    "two answers are the same": Reason.SAME_ANSWERS,
    "a message that is not text": Reason.NOT_TEXT,
    "no answer": Reason.NO_ANSWER,
    "no answer that is meant to be learned": Reason.NO_ANSWER,
}


_ASKED = Message("user", "?")  # a conversation may open with an answer, or hold two in a row: it is learned as it is


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns, the places of those that are learned, and the judgements (or the line) behind them."""

    turns: tuple[Message, ...]
    learned: tuple[int, ...]
    judgements: tuple[str, ...] = ()


def unusable(words: str) -> Unusable:
    """A reader's reason as a stage counts it."""
    return Unusable(_REASONS.get(words, words))


def rows_of(feedback: Feedback, columns: Columns) -> Iterator[Row]:
    """The rows of one piece of feedback. Raises `Unusable` where there are none, or one cannot be learned from."""
    feedback = _checked(feedback)
    if is_demonstration(feedback):
        yield SftRow(feedback.prompt, feedback.answers[0].text, columns.weight, columns.judgements, columns.split)
        return
    places = _places(feedback)
    if len(places) == 1 and not any(answer.good is not None for answer in feedback.answers):
        raise Unusable("a tie")
    if len(places) > 1:
        yield from _ranked(feedback.prompt, places, columns)
    for answer in feedback.answers:
        if answer.good is not None:
            yield MarkRow(
                prompt=feedback.prompt,
                completion=answer.text,
                label=answer.good,
                weight=columns.weight,
                judgements=columns.judgements,
                split=columns.split,
                target=columns.target,
                age_weight=columns.age_weight,
                origin=columns.origin,
            )


def is_demonstration(feedback: Feedback) -> bool:
    """Whether it is an answer to imitate."""
    return len(feedback.answers) == 1 and feedback.answers[0].good is None


def conversations(found: Iterable[Feedback], columns: Columns) -> list[Conversation]:
    """The answers worth imitating of one record, those of one conversation together.

    An answer that import would skip stays in its conversation and is not learned. Raises `Unusable` with the first
    reason where none is left to learn.
    """
    kept: list[Conversation] = []
    why: Unusable | None = None
    for each in filter(is_demonstration, found):
        turns = (*each.prompt, Message("assistant", each.answers[0].text))
        before = kept.pop() if kept and turns[: len(kept[-1].turns)] == kept[-1].turns else None
        learned = before.learned if before else ()
        try:
            _checked(Feedback((*each.prompt, _ASKED), each.answers, comment=each.comment, reasons=each.reasons))
            learned = (*learned, len(turns) - 1)
        except Unusable as reason:
            why = why or reason
        kept.append(Conversation(turns, learned, columns.judgements))
    if why and not any(each.learned for each in kept):
        raise why
    return [each for each in kept if each.learned]


def _checked(feedback: Feedback) -> Feedback:
    """The feedback as import takes it. How long an answer to imitate may be, is for the model to say and not for us."""
    try:
        if is_demonstration(feedback):
            answers = (Answer(feedback.answers[0].text, good=True),)
            checked(Feedback(feedback.prompt, answers, comment=feedback.comment, reasons=feedback.reasons))
            return feedback
        return checked(feedback)
    except Skip as reason:
        raise unusable(str(reason)) from reason


def _places(feedback: Feedback) -> list[tuple[str, ...]]:
    """The texts of each place, best first; one place of all where nobody ranked them."""
    if len(feedback.answers) == 1:
        return [(feedback.answers[0].text,)]
    ordered = sorted(feedback.answers, key=lambda answer: answer.rank or 0)
    return [tuple(each.text for each in tied) for _, tied in groupby(ordered, key=lambda answer: answer.rank or 0)]


def _ranked(prompt: tuple[Message, ...], places: Sequence[tuple[str, ...]], columns: Columns) -> Iterator[Row]:
    count = sum(map(len, places))
    steps = len(places) - 1
    if count > 2:
        yield GroupRow(prompt, tuple(places), columns.weight * steps, columns.judgements, columns.split)
    strict = (
        [(0, 1, places[0][0], places[1][0])]
        if count == 2
        else [
            (high, low, better, worse)
            for (high, above), (low, below) in combinations(enumerate(places), 2)
            for better in above
            for worse in below
        ]
    )
    for high, low, better, worse in strict:
        yield PairRow(
            prompt=prompt,
            chosen=better,
            rejected=worse,
            weight=columns.weight * steps / len(strict),
            margin=columns.margin * (low - high) / steps,
            judgements=columns.judgements,
            origin=columns.origin if count == 2 else "rank",
            split=columns.split,
            target=columns.target,
            reward_only=columns.reward_only,
            age_weight=columns.age_weight,
        )
