"""ChatGPT's export: `conversations.json`, each conversation a tree of messages.

The messages from the first one to the one last shown are the conversation, and its last answer is a demonstration:
nobody rated it. Answers to tools, hidden messages and what the model thought are left out. `message_feedback.json`
beside it holds ratings without texts, and is refused with the sentence that says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alignment.dataset.judgement import Message
from alignment.dataset.reading.feedback import Feedback, Record, Skip, demonstration
from alignment.dataset.reading.messages import HAS_IMAGES, IMAGES_LEFT_OUT, THOUGHTS_LEFT_OUT
from alignment.dataset.reading.turns import last_answer
from alignment.dataset.reading.ways import Ways


def is_conversation(record: Record) -> bool:
    """Whether a record is a conversation."""
    nodes = record.get("mapping")
    return isinstance(nodes, Mapping) and any(
        isinstance(node, Mapping) and "message" in node for node in nodes.values()
    )


def is_rating(record: Record) -> bool:
    """Whether a record is a rating that names its conversation and has no texts."""
    return {"conversation_id", "rating"} <= set(record) and not {"messages", "snapshot"} & set(record)


def read_rating(record: Record, ways: Ways) -> list[Feedback]:
    """None."""
    raise Skip("a rating without its conversation, whose text is not in this file")


def read_conversation(record: Record, ways: Ways) -> list[Feedback]:
    """One demonstration."""
    nodes = record["mapping"]
    place = record.get("current_node") or next(
        (id for id, node in nodes.items() if not node.get("children") and node.get("message")), None
    )
    path, seen = [], set()
    while place in nodes and place not in seen:
        seen.add(place)
        path.append(nodes[place].get("message"))
        place = nodes[place].get("parent")
    turns = [turn for message in reversed(path) if (turn := _turn(message, ways)) is not None]
    while turns and turns[-1].role != "assistant":
        turns.pop()
    prompt, text = last_answer(turns)
    ways.notice("{n} answers of ChatGPT were read as answers to imitate: nobody rated them in this file.")
    return [demonstration(prompt, text)]


def _turn(message: Any, ways: Ways) -> Message | None:
    """A message that was shown; None for all others. Raises `Skip`."""
    if not isinstance(message, Mapping):
        return None
    role = str((message.get("author") or {}).get("role"))
    content, meta = message.get("content") or {}, message.get("metadata") or {}
    kind = content.get("content_type")
    if kind in ("thoughts", "reasoning_recap"):
        ways.notice(THOUGHTS_LEFT_OUT)
        return None
    if role not in ("system", "user", "assistant") or meta.get("is_visually_hidden_from_conversation"):
        return None
    if kind not in ("text", "multimodal_text") or message.get("recipient", "all") != "all":
        return None
    texts = []
    for part in content.get("parts") or []:
        if isinstance(part, str):
            texts.append(part)
        elif not ways.text_only:
            raise Skip(HAS_IMAGES)
        else:
            ways.notice(IMAGES_LEFT_OUT)
    text = "".join(texts)
    return Message(role, text) if text.strip() else None
