"""LibreChat's export of a conversation: its messages, as a list or as a tree, with thumbs.

A thumb on an answer becomes a mark; the prompt is the path of messages above it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from alignment.dataset.judgement import Message
from alignment.dataset.reading.feedback import Feedback, Record, Skip, mark
from alignment.dataset.reading.messages import Turn, turns_of
from alignment.dataset.reading.verdicts import is_true, word
from alignment.dataset.reading.ways import Ways

_UP, _DOWN = ("thumbsup", "thumbs_up", "up", "positive"), ("thumbsdown", "thumbs_down", "down", "negative")


def is_conversation(record: Record) -> bool:
    """Whether a record is an exported conversation."""
    listed = record.get("messages") or record.get("messagesTree")
    return (
        isinstance(listed, list)
        and bool(listed)
        and all(isinstance(each, Mapping) and "messageId" in each for each in listed)
    )


def read_conversation(record: Record, ways: Ways) -> list[Feedback]:
    """A mark for each answer with a thumb."""
    messages = {str(each["messageId"]): each for each in _flat(record.get("messages") or record["messagesTree"])}
    system = (record.get("options") or {}).get("promptPrefix") or (record.get("options") or {}).get("system")
    start = [Message("system", system)] if isinstance(system, str) and system.strip() else []
    found, problem = [], None
    for rated in messages.values():
        if not rated.get("feedback"):
            continue
        try:
            note = rated["feedback"]
            note = note if isinstance(note, Mapping) else {"rating": note}
            path = [_turn(each, ways).message for each in reversed(list(_upwards(messages, rated)))]
            said = _turn(rated, ways).message
            if said.role != "assistant":
                raise Skip("does not end in an answer")
            if rated.get("error") or rated.get("unfinished"):
                raise Skip("an answer that broke off")
            tag = note.get("tag")
            reason = tag.get("key") if isinstance(tag, Mapping) else tag
            made = mark(
                [*start, *path],
                said.content,
                _good(note.get("rating")),
                rater=str(record.get("user") or ""),
                comment=str(note.get("text") or ""),
                reasons=(reason,) if isinstance(reason, str) and reason else (),
            )
            found.append(made)
        except Skip as reason_:
            problem = reason_
    if not found:
        raise problem or Skip("a conversation without a rated message")
    if problem is not None:
        ways.notice(f"{{n}} rated messages were left out of conversations that hold others ({problem}).")
    return found


def _good(rating: Any) -> bool:
    found = word(rating)
    good = True if found in _UP else False if found in (*_DOWN, "-1") else is_true(rating)
    if good is None:
        raise Skip("no thumb up or down", rating)
    return good


def _flat(messages: Any) -> Iterator[Mapping[str, Any]]:
    waiting = list(messages)
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, Mapping) and "messageId" in each:
            yield each
            waiting += [{**child, "parentMessageId": each["messageId"]} for child in each.get("children") or []]


def _upwards(messages: Mapping[str, Mapping[str, Any]], rated: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    seen, above = set(), str(rated.get("parentMessageId"))
    while above in messages and above not in seen:
        seen.add(above)
        yield messages[above]
        above = str(messages[above].get("parentMessageId"))


def _turn(message: Mapping[str, Any], ways: Ways) -> Turn:
    role = "user" if message.get("isCreatedByUser") else "assistant"
    content = message.get("text") or message.get("content")
    files = {"images": message["files"]} if message.get("files") else {}
    if isinstance(content, list):  # parts are `{"type": "text", "text": {"value": …}}` there
        content = [
            {**part, "text": part["text"].get("value")} if isinstance(part.get("text"), Mapping) else part
            for part in content
        ]
    (turn,) = turns_of([{"role": role, "content": content, **files}], role, ways)
    return turn
