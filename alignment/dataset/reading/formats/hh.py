"""The form of Anthropic's helpful and harmless data: two whole dialogues as text.

Carries turns of a person and an assistant that take turns in any order. It has no place for system and tool
messages, nor for a text that itself begins a turn (`\\n\\nHuman:`): such rows are left out and counted.
"""

from __future__ import annotations

from alignment.dataset.judgement import Message
from alignment.dataset.reading.feedback import Feedback, Record, Skip, two
from alignment.dataset.reading.transcripts import dialogue

_NAMES = {"user": "Human", "assistant": "Assistant"}


def write_hh(feedback: Feedback) -> Record:
    """One pair. Raises `Skip` when the dialogues would not say the same when read again."""
    if any(turn.role not in _NAMES for turn in feedback.prompt):
        raise Skip("a system or tool message, which hh has no place for")
    chosen, rejected = ([*feedback.prompt, Message("assistant", text)] for text in two(feedback))
    record = {"chosen": _dialogue(chosen), "rejected": _dialogue(rejected)}
    if dialogue(record["chosen"]) != chosen or dialogue(record["rejected"]) != rejected:
        raise Skip("a text that hh would read as a turn")
    return record


def _dialogue(turns: list[Message]) -> str:
    return "".join(f"\n\n{_NAMES[turn.role]}: {turn.content}" for turn in turns)
