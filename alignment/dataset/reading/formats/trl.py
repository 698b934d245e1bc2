"""TRL's preference and unpaired forms.

Written: the conversational form with an explicit prompt. Read: that, the implicit form (both sides hold the
whole conversation), and plain text, where the prompt is what the user said; without a prompt it is what both
texts begin with, as TRL itself cuts them. Carries every role; tool calls are text.
"""

from __future__ import annotations

from alignment.dataset.reading.feedback import Feedback, Record, only, two
from alignment.dataset.reading.turns import records


def write_trl(feedback: Feedback) -> Record:
    """One pair."""
    chosen, rejected = two(feedback)
    return {"prompt": records(feedback.prompt), "chosen": _said(chosen), "rejected": _said(rejected)}


def write_unpaired(feedback: Feedback) -> Record:
    """One answer and whether it was good."""
    answer = only(feedback)
    return {"prompt": records(feedback.prompt), "completion": _said(answer.text), "label": answer.good}


def _said(text: str) -> list[Record]:
    return [{"role": "assistant", "content": text}]
