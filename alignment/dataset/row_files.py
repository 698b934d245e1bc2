"""Rows out of the records that `rows.to_record` wrote, and the messages in them.

A message that is not text is one row that cannot be used (`Unusable`): it may come from anybody who chats. What is not
done here: opening files, and reading what other tools write (`reading.folder`). Standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from alignment.dataset.judgement import Message
from alignment.dataset.left_out import Reason, Unusable
from alignment.dataset.rows import GroupRow, MarkRow, PairRow, Row, SftRow


def pair_row(record: Mapping[str, Any]) -> PairRow:
    """A line of `pairs.jsonl`. Raises `Unusable` on a message that is not text, as those below."""
    return PairRow(
        prompt=messages(record["prompt"]),
        chosen=completion(record["chosen"]),
        rejected=completion(record["rejected"]),
        weight=float(record.get("weight", 1.0)),
        margin=float(record.get("margin", 1.0)),
        judgements=tuple(record.get("judgements", ())),
        origin=record.get("origin", "file"),
        split=record.get("split", "train"),
        target=float(record.get("target", 1.0)),
        reward_only=bool(record.get("reward_only", False)),
        age_weight=float(record.get("age_weight", 1.0)),
    )


def mark_row(record: Mapping[str, Any]) -> MarkRow:
    """A line of `marks.jsonl`."""
    return MarkRow(
        prompt=messages(record["prompt"]),
        completion=completion(record["completion"]),
        label=bool(record["label"]),
        weight=float(record.get("weight", 1.0)),
        judgements=tuple(record.get("judgements", ())),
        split=record.get("split", "train"),
        target=float(record.get("target", 1.0)),
        age_weight=float(record.get("age_weight", 1.0)),
        origin=record.get("origin", "file"),
    )


def sft_row(record: Mapping[str, Any]) -> SftRow:
    """A line of `sft.jsonl`."""
    return SftRow(
        prompt=messages(record["prompt"]),
        completion=completion(record["completion"]),
        weight=float(record.get("weight", 1.0)),
        judgements=tuple(record.get("judgements", ())),
        split=record.get("split", "train"),
    )


def group_row(record: Mapping[str, Any]) -> GroupRow:
    """A line of `groups.jsonl`."""
    return GroupRow(
        prompt=messages(record["prompt"]),
        completions=tuple(tuple(completion(text) for text in group) for group in record["groups"]),
        weight=float(record.get("weight", 1.0)),
        judgements=tuple(record.get("judgements", ())),
        split=record.get("split", "train"),
    )


NEEDED: Mapping[str, tuple[str, ...]] = {
    "pairs": ("prompt", "chosen", "rejected"),
    "marks": ("prompt", "completion", "label"),
    "sft": ("prompt", "completion"),
    "groups": ("prompt", "groups"),
}
"""The keys that a row of each table has at least."""

MAKERS: Mapping[str, Callable[[Mapping[str, Any]], Row]] = {
    "pairs": pair_row,
    "marks": mark_row,
    "sft": sft_row,
    "groups": group_row,
}


def messages(value: Any) -> tuple[Message, ...]:
    """A list of {"role", "content"}, or one text as a user's. Raises `Unusable` on what is neither."""
    if isinstance(value, str):
        return (Message("user", value),)
    if not isinstance(value, list):
        raise Unusable(Reason.NOT_TEXT, "a prompt is a text or a list of messages")
    return tuple(_message(turn) for turn in value)


def completion(value: Any) -> str:
    """An answer: a text, or messages whose texts are joined. Raises `Unusable` on what is neither."""
    return value if isinstance(value, str) else "".join(message.content for message in messages(value))


def _message(turn: Any) -> Message:
    if not isinstance(turn, Mapping) or not isinstance(turn.get("role"), str):
        raise Unusable(Reason.NOT_TEXT, "a message has a role and content")
    return Message(turn["role"], _text(turn.get("content")))


def _text(content: Any) -> str:
    """A message's content: a text, or parts of type text, joined."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        raise Unusable(Reason.NOT_TEXT, f"the content of a message is {_kind(content)}")
    for part in content:
        if not isinstance(part, Mapping) or part.get("type", "text") != "text" or not isinstance(part.get("text"), str):
            raise Unusable(Reason.NOT_TEXT, "a message has a part that is not text")
    return "".join(part["text"] for part in content)


def _kind(content: Any) -> str:
    return "empty" if content is None or content == [] else "not text"
