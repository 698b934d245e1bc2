"""PRISM: one line an answer (`utterances`), or a conversation with all its answers.

The answers of one turn are ranked by their scores; the one that the person went on with is the turn before the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alignment.dataset.judgement import Message
from alignment.dataset.reading.feedback import Feedback, Record, Skip, ranking
from alignment.dataset.reading.verdicts import is_true, number
from alignment.dataset.reading.ways import Ways


def is_utterance(record: Record) -> bool:
    """Whether a record is one answer of a turn."""
    return {"user_prompt", "model_response", "if_chosen", "conversation_id"} <= set(record)


def is_conversation(record: Record) -> bool:
    """Whether a record is a conversation with every answer of each turn."""
    said = record.get("conversation_history")
    return isinstance(said, list) and bool(said) and all(isinstance(each, Mapping) and "turn" in each for each in said)


def conversation_of(record: Record) -> str:
    """What the answers of one conversation share."""
    return str(record["conversation_id"])


def read_utterances(records: Sequence[Record], ways: Ways) -> list[Feedback]:
    """A ranking for each turn of one conversation."""
    turns: dict[Any, list[Mapping[str, Any]]] = {}
    for record in records:
        turns.setdefault(record.get("turn"), []).append(record)
    asked = [
        (each[0]["user_prompt"], [(r["model_response"], r.get("score"), r["if_chosen"]) for r in each])
        for each in turns.values()
    ]
    return _rankings(asked, str(records[0].get("user_id") or ""))


def read_conversation(record: Record, ways: Ways) -> list[Feedback]:
    """A ranking for each turn of a conversation."""
    turns: dict[Any, tuple[list[str], list[tuple[Any, Any, Any]]]] = {}
    for each in record["conversation_history"]:
        questions, answers = turns.setdefault(each["turn"], ([], []))
        if each.get("role") == "user":
            questions.append(each["content"])
        else:
            answers.append((each["content"], each.get("score"), each.get("if_chosen")))
    asked = [("\n".join(questions), answers) for questions, answers in turns.values()]
    return _rankings(asked, str(record.get("user_id") or ""))


def _rankings(asked: Sequence[tuple[str, list[tuple[Any, Any, Any]]]], rater: str) -> list[Feedback]:
    before: list[Message] = []
    found = []
    for question, answers in asked:
        before.append(Message("user", question))
        scored = [
            (text, number(score)) for text, score, _ in answers if isinstance(text, str) and number(score) is not None
        ]
        if len(scored) > 1:
            order = sorted({score for _, score in scored}, key=lambda score: -(score or 0.0))
            ranks = [order.index(score) + 1 for _, score in scored]
            found.append(ranking(tuple(before), [text for text, _ in scored], ranks, rater=rater))
        chosen = [text for text, _, taken in answers if is_true(taken)]
        if len(chosen) != 1:
            break
        before.append(Message("assistant", chosen[0]))
    if not found:
        raise Skip("no turn with two answers that were scored")
    return found
