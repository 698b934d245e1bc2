"""Open WebUI's feedback export: a JSON array of ratings, each with a snapshot of its chat.

A thumb becomes a mark on the rated message, with its reason and comment; in an arena too, where nothing was
said about the other answer. The prompt is the path of messages above it, after the chat's system prompt.
Written with the fewest keys that hold a mark; the chat then has the one path. Carries a system prompt and
turns of user and assistant; rows with tool messages are left out and counted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from alignment.dataset.judgement import Message
from alignment.dataset.reading.feedback import Feedback, Record, Skip, mark, only

_ROLES = ("user", "assistant")


def write_open_webui(feedback: Feedback) -> Record:
    """One rating."""
    turns = list(feedback.prompt)
    system = turns.pop(0).content if turns and turns[0].role == "system" else None
    if any(turn.role not in _ROLES for turn in turns):
        raise Skip("a tool or later system message, which open-webui has no place for")
    answer = only(feedback)
    turns.append(Message("assistant", answer.text))
    key = feedback.digest
    ids = [f"{key[:24]}-{place}" for place in range(len(turns))]
    model, at = answer.version, int(feedback.at)
    messages = {
        id: {
            "id": id,
            "parentId": ids[place - 1] if place else None,
            "childrenIds": ids[place + 1 : place + 2],
            "role": turn.role,
            "content": turn.content,
        }
        for place, (id, turn) in enumerate(zip(ids, turns, strict=True))
    }
    chat = {
        "title": "",
        "models": [model],
        "params": {} if system is None else {"system": system},
        "history": {"messages": messages, "currentId": ids[-1]},
        "messages": list(messages.values()),
    }
    return {
        "id": hashlib.sha256(key.encode()).hexdigest()[:32],
        "user_id": "",
        "version": 0,
        "type": "rating",
        "data": {
            "rating": 1 if answer.good else -1,
            "model_id": model,
            "sibling_model_ids": None,
            "reason": feedback.reasons[0] if feedback.reasons else "",
            "comment": feedback.comment,
            "tags": list(feedback.reasons[1:]),
        },
        "meta": {"model_id": model, "message_id": ids[-1], "message_index": len(turns) - 1, "chat_id": key},
        "snapshot": {"chat": {"id": key, "title": "", "chat": chat}},
        "created_at": at,
        "updated_at": at,
    }


def read_open_webui(record: Record) -> list[Feedback]:
    """One mark."""
    data = record["data"]
    rating = data.get("rating")
    if str(rating) not in ("1", "-1"):
        raise Skip("no thumb up or down")
    chat = _chat(record)
    history = _messages(chat)
    rated = history.get(str(record["meta"].get("message_id")))
    if rated is None:
        raise Skip("the rated message is not in the snapshot")
    if rated.get("role") != "assistant":
        raise Skip("does not end in an answer")
    path, seen = [], set()
    above = rated.get("parentId")
    while above is not None and above in history and above not in seen:
        seen.add(above)
        path.append(_turn(history[above]))
        above = history[above].get("parentId")
    system = (chat.get("params") or {}).get("system") or chat.get("system")
    start = [Message("system", system)] if isinstance(system, str) and "params" in chat and system != "" else []
    reasons = [text for text in (data.get("reason"), *(data.get("tags") or [])) if isinstance(text, str) and text]
    return [
        mark(
            [*start, *reversed(path)],
            _turn(rated).content,
            int(rating) == 1,
            rater=str(record.get("user_id") or ""),
            comment=data.get("comment") or "",
            reasons=tuple(reasons),
        )
    ]


def _chat(record: Record) -> Mapping[str, Any]:
    """The innermost `chat` of the snapshot: some versions wrap it once, some twice."""
    chat = (record.get("snapshot") or {}).get("chat")
    if isinstance(chat, Mapping) and isinstance(chat.get("chat"), Mapping):
        chat = chat["chat"]
    if not isinstance(chat, Mapping):
        chat = record.get("snapshot")
    if not isinstance(chat, Mapping):
        raise Skip("no snapshot of the chat")
    return chat


def _messages(chat: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Messages by id, from the tree or, where that is missing, from the list."""
    found = (chat.get("history") or {}).get("messages") or chat.get("messages") or {}
    listed = list(found.values()) if isinstance(found, Mapping) else list(found)
    return {str(message["id"]): message for message in listed if isinstance(message, Mapping) and "id" in message}


def _turn(message: Mapping[str, Any]) -> Message:
    if not isinstance(message.get("content"), str) or message.get("role") not in ("system", *_ROLES):
        raise Skip("a message that is not text")
    return Message(str(message["role"]), str(message["content"]))
