"""TRL's preference and unpaired forms.

Written: the conversational form with an explicit prompt. Read: that, the implicit form (both sides hold the
whole conversation), and plain text, where the prompt is what the user said; without a prompt it is what both
texts begin with, as TRL itself cuts them. Carries every role; tool calls are text.
"""

from __future__ import annotations

from collections.abc import Sequence

from alignment.dataset.judgement import Message
from alignment.dataset.reading.feedback import Feedback, Record, Skip, mark, only, pair, same_prefix, two
from alignment.dataset.reading.turns import last_answer, messages, records


def write_trl(feedback: Feedback) -> Record:
    """One pair."""
    chosen, rejected = two(feedback)
    return {"prompt": records(feedback.prompt), "chosen": _said(chosen), "rejected": _said(rejected)}


def read_trl(record: Record) -> list[Feedback]:
    """One pair, whatever of TRL's forms it has."""
    chosen, rejected = record["chosen"], record["rejected"]
    if "prompt" not in record and isinstance(chosen, str) and isinstance(rejected, str):
        prompt, chosen, rejected = _cut(chosen, rejected)
        return [pair((Message("user", prompt),) if prompt.strip() else (), chosen, rejected)]
    before, good = split(record.get("prompt"), chosen)
    other, bad = split(record.get("prompt"), rejected)
    return [pair(same_prefix(before, other), good, bad)]


def write_unpaired(feedback: Feedback) -> Record:
    """One answer and whether it was good."""
    answer = only(feedback)
    return {"prompt": records(feedback.prompt), "completion": _said(answer.text), "label": answer.good}


def read_unpaired(record: Record) -> list[Feedback]:
    """One mark, conversational or plain text."""
    if not isinstance(record["label"], bool):
        raise Skip("label is not true or false")
    prompt, completion = split(record["prompt"], record["completion"])
    return [mark(prompt, completion, record["label"])]


def split(prompt: object, answer: object) -> tuple[tuple[Message, ...], str]:
    """Prompt and answer; an answer may carry the conversation before it, with or without the prompt."""
    before = messages(prompt, "user") if prompt else []
    earlier, text = last_answer(messages(answer, "assistant"))
    if before and _begins(earlier, before):
        return earlier, text
    return (*before, *earlier), text


def _begins(turns: Sequence[Message], start: Sequence[Message]) -> bool:
    skip = 1 if turns and turns[0].role == "system" and start[0].role != "system" else 0
    return list(turns[skip : skip + len(start)]) == list(start)


def _cut(chosen: str, rejected: str) -> tuple[str, str, str]:
    size = next(
        (i for i, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), min(len(chosen), len(rejected))
    )
    if size and chosen[size - 1] == " ":
        size -= 1
    return chosen[:size], chosen[size:], rejected[size:]


def _said(text: str) -> list[Record]:
    return [{"role": "assistant", "content": text}]
