"""Open WebUI's feedback export: a JSON array of ratings, each with a snapshot of its chat.

Written with the fewest keys that hold a mark; the chat then has the one path. Carries a system prompt and turns of
user and assistant; rows with tool messages are left out and counted.
"""

from __future__ import annotations

import hashlib

from alignment.dataset.judgement import Message
from alignment.dataset.reading.feedback import Feedback, Record, Skip, only

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
