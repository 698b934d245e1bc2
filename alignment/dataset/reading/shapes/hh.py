"""The form of Anthropic's helpful and harmless data: two whole dialogues as text."""

from __future__ import annotations

from alignment.dataset.reading.feedback import Feedback, Record, Skip, pair
from alignment.dataset.reading.transcripts import dialogue
from alignment.dataset.reading.turns import last_answer
from alignment.dataset.reading.ways import Ways


def read_hh(record: Record, ways: Ways) -> list[Feedback]:
    """Two dialogues that share all but the last answer."""
    before, chosen = last_answer(dialogue(record["chosen"]))
    other, rejected = last_answer(dialogue(record["rejected"]))
    if before != other:
        raise Skip("the two dialogues differ before the last answer")
    return [pair(before, chosen, rejected)]
