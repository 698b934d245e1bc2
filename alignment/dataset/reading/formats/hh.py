"""The form of Anthropic's helpful and harmless data: two whole dialogues as text.

Carries turns of a person and an assistant that take turns in any order. It has no place for system and tool
messages, nor for a text that itself begins a turn (`\\n\\nHuman:`): such rows are left out and counted.
"""

from __future__ import annotations

import re

from alignment.dataset.judgement import Message
from alignment.dataset.reading.feedback import Feedback, Record, Skip, pair, two
from alignment.dataset.reading.turns import last_answer

_TURN = re.compile(r"\n\n(Human|Assistant): ?")
_NAMES = {"user": "Human", "assistant": "Assistant"}


def write_hh(feedback: Feedback) -> Record:
    """One pair. Raises `Skip` when the dialogues would not say the same when read again."""
    if any(turn.role not in _NAMES for turn in feedback.prompt):
        raise Skip("a system or tool message, which hh has no place for")
    chosen, rejected = ([*feedback.prompt, Message("assistant", text)] for text in two(feedback))
    record = {"chosen": _dialogue(chosen), "rejected": _dialogue(rejected)}
    if _turns(record["chosen"]) != chosen or _turns(record["rejected"]) != rejected:
        raise Skip("a text that hh would read as a turn")
    return record


def read_hh(record: Record) -> list[Feedback]:
    """Two dialogues that share all but the last answer."""
    before, chosen = last_answer(_turns(record["chosen"]))
    other, rejected = last_answer(_turns(record["rejected"]))
    if before != other:
        raise Skip("the two dialogues differ before the last answer")
    return [pair(before, chosen, rejected)]


def is_dialogue(text: object) -> bool:
    """Whether a text is written this way."""
    return isinstance(text, str) and _TURN.match(text) is not None


def _dialogue(turns: list[Message]) -> str:
    return "".join(f"\n\n{_NAMES[turn.role]}: {turn.content}" for turn in turns)


def _turns(text: object) -> list[Message]:
    if not isinstance(text, str):
        raise Skip("not a dialogue")
    pieces = _TURN.split(text)
    if pieces[0].strip():
        raise Skip("text before the first turn")
    roles = {name: role for role, name in _NAMES.items()}
    return [Message(roles[pieces[i]], pieces[i + 1]) for i in range(1, len(pieces), 2)]
