"""Open WebUI's files: the feedback export, the list that its API gives, and the export of chats.

A thumb becomes a mark on the rated message, with its reason and comment; in an arena too, where nothing was said about
the other answer. The prompt is the path of messages above it, after the chat's system prompt. An answer that broke off
is not judged. What stands folded into `<details type=…>` before the answer (reasoning, tools) is left out and said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from alignment.dataset.judgement import Message
from alignment.dataset.reading.cells import filled
from alignment.dataset.reading.feedback import Feedback, Record, Skip, mark
from alignment.dataset.reading.messages import HAS_IMAGES, IMAGES_LEFT_OUT, THOUGHTS_LEFT_OUT, conversation
from alignment.dataset.reading.ways import Ways

_DETAILS = re.compile(r"\s*<details type=\"(?P<type>\w+)\"[^>]*>.*?</details>\s*", re.DOTALL)


def is_rating(record: Record) -> bool:
    """Whether a record is a rating, with or without its chat."""
    data = record.get("data")
    return isinstance(data, Mapping) and "rating" in data and ("meta" in record or "snapshot" in record)


def is_chat(record: Record) -> bool:
    """Whether a record is an exported chat with its tree of messages."""
    chat = record.get("chat")
    return isinstance(chat, Mapping) and (isinstance(chat.get("history"), Mapping) or "messages" in chat)


def read_rating(record: Record, ways: Ways) -> list[Feedback]:
    """One mark."""
    data = record["data"]
    good = _thumb(data.get("rating"))
    chat = _chat(record)
    history = _messages(chat)
    rated = history.get(str((record.get("meta") or {}).get("message_id")))
    if rated is None:
        raise Skip("the rated message is not in the snapshot")
    reasons = [text for text in (data.get("reason"), *(data.get("tags") or [])) if isinstance(text, str) and text]
    return [
        mark(
            _above(chat, history, rated, ways),
            _answer(rated, ways),
            good,
            rater=str(record.get("user_id") or ""),
            comment=data.get("comment") or "",
            reasons=tuple(reasons),
        )
    ]


def read_chat(record: Record, ways: Ways) -> list[Feedback]:
    """A mark for each message of a chat that carries a thumb."""
    chat = record["chat"]
    chat = chat["chat"] if isinstance(chat.get("chat"), Mapping) else chat
    history = _messages(chat)
    found, problem = [], None
    for rated in history.values():
        note = rated.get("annotation")
        if not isinstance(note, Mapping) or note.get("rating") is None:
            continue
        try:
            reasons = tuple(t for t in (note.get("reason"), *(note.get("tags") or [])) if isinstance(t, str) and t)
            made = mark(
                _above(chat, history, rated, ways),
                _answer(rated, ways),
                _thumb(note["rating"]),
                rater=str(record.get("user_id") or ""),
                comment=str(note.get("comment") or ""),
                reasons=reasons,
            )
            found.append(made)
        except Skip as reason:
            problem = reason
    if not found:
        raise problem or Skip("a chat without a rated message")
    if problem is not None:
        ways.notice(f"{{n}} rated messages were left out of chats that hold others ({problem}).")
    return found


def _thumb(rating: Any) -> bool:
    if str(rating) not in ("1", "-1", "1.0", "-1.0"):
        raise Skip("no thumb up or down", rating)
    return float(rating) == 1


def _above(
    chat: Mapping[str, Any], history: Mapping[str, Mapping[str, Any]], rated: Mapping[str, Any], ways: Ways
) -> list[Message]:
    """The chat's system prompt and the path of messages above one."""
    path = [_turn(message, ways) for message in reversed(list(_upwards(history, rated)))]
    system = (chat.get("params") or {}).get("system") or chat.get("system")
    start = [Message("system", system)] if isinstance(system, str) and "params" in chat and system != "" else []
    return [*start, *path]


def _upwards(history: Mapping[str, Mapping[str, Any]], rated: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    seen, above = set(), rated.get("parentId")
    while above is not None and above in history and above not in seen:
        seen.add(above)
        yield history[above]
        above = history[above].get("parentId")


def _answer(rated: Mapping[str, Any], ways: Ways) -> str:
    if rated.get("role") != "assistant":
        raise Skip("does not end in an answer")
    if rated.get("error") or rated.get("done") is False:
        raise Skip("an answer that broke off")
    return _turn(rated, ways).content


def _chat(record: Record) -> Mapping[str, Any]:
    """The innermost `chat` of the snapshot: some versions wrap it once, some twice."""
    if not record.get("snapshot"):
        raise Skip(
            "no snapshot of the chat: the chats are not in this file; Open WebUI's feedback export (Admin, "
            "Evaluations, Feedback, Export) has them"
        )
    chat: Any = record["snapshot"].get("chat")
    if isinstance(chat, Mapping) and isinstance(chat.get("chat"), Mapping):
        chat = chat["chat"]
    if not isinstance(chat, Mapping):
        found: Mapping[str, Any] = record["snapshot"]
        return found
    return chat


def _messages(chat: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Messages by id, from the tree or, where that is missing, from the list."""
    found = (chat.get("history") or {}).get("messages") or chat.get("messages") or {}
    listed = list(found.values()) if isinstance(found, Mapping) else list(found)
    return {str(message["id"]): message for message in listed if isinstance(message, Mapping) and "id" in message}


def _turn(message: Mapping[str, Any], ways: Ways) -> Message:
    files: Sequence[Any] = message.get("files") or ()
    for file in files:
        if isinstance(file, Mapping) and filled(file):
            kind = str(file.get("type") or "")
            if kind not in ("image", "video", "audio"):
                raise Skip("a file beside a message")
            if not ways.text_only:
                raise Skip(HAS_IMAGES)
            ways.notice(IMAGES_LEFT_OUT)
    if message.get("role") not in ("system", "user", "assistant") or message.get("content") is None:
        raise Skip("a message that is not text")
    content = message["content"]
    if isinstance(content, str):
        role, text = str(message["role"]), content
    else:
        ((role, text),) = [(turn.role, turn.content) for turn in conversation([message], "user", ways)]
    return Message(role, _unfolded(text, ways) if role == "assistant" else text)


def _unfolded(text: str, ways: Ways) -> str:
    """An answer without what is folded away before it."""
    while (folded := _DETAILS.match(text)) is not None:
        if folded["type"] != "reasoning":
            raise Skip("an answer with the steps of a tool in it", folded["type"])
        ways.notice(THOUGHTS_LEFT_OUT)
        text = text[folded.end() :]
    return text
