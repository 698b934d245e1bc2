"""OpenAssistant's messages with ranked siblings: as trees, and flat, a message a line.

Every message with two or more ranked answers is a ranking (ranks start at 0 there); answers without a rank and deleted
messages say nothing. Flat messages are joined by their parents, tree by tree, as the published files are ordered: a
message whose parent came in no line of its tree is left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from alignment.dataset.judgement import Message
from alignment.dataset.reading.feedback import Feedback, Record, Skip, ranking, whole
from alignment.dataset.reading.messages import ROLES
from alignment.dataset.reading.ways import Ways

NONE_RANKED = "no message with two ranked answers"


def is_tree(record: Record) -> bool:
    """Whether a record is a whole tree."""
    return "message_tree_id" in record and isinstance(record.get("prompt"), Mapping)


def is_flat(record: Record) -> bool:
    """Whether a record is one message of a tree."""
    return {"message_id", "parent_id", "text", "role"} <= set(record)


def read_tree(record: Record, ways: Ways) -> list[Feedback]:
    """Every ranking of a tree, from the root down."""
    found = list(_rankings(record["prompt"], ()))
    if not found:
        raise Skip(NONE_RANKED)
    return found


def tree_of(record: Record) -> str:
    """What flat messages that belong together share."""
    return str(record.get("message_tree_id") or "")


def read_flat(records: Sequence[Record], ways: Ways) -> list[Feedback]:
    """Every ranking of the messages of one tree."""
    nodes = {record["message_id"]: {**record, "replies": []} for record in records}
    roots = []
    for node in nodes.values():
        parent = node.get("parent_id")
        if parent in nodes:
            nodes[parent]["replies"].append(node)
        elif not parent:
            roots.append(node)
        else:
            ways.notice("{n} messages whose parent is not among the lines beside them were left out.")
    found = [ranking_ for root in roots for ranking_ in _rankings(root, ())]
    if not found:
        raise Skip(NONE_RANKED)
    return found


def _rankings(root: Any, start: Sequence[Message]) -> Iterator[Feedback]:
    waiting: list[tuple[Any, tuple[Message, ...]]] = [(root, tuple(start))]  # a stack: trees may be deep
    while waiting:
        node, before = waiting.pop()
        if not isinstance(node, Mapping) or node.get("deleted"):
            continue
        role = ROLES.get(str(node["role"]), str(node["role"]))
        path = (*before, Message(role, str(node["text"])))
        replies = [reply for reply in node.get("replies") or [] if not reply.get("deleted")]
        ranked = [reply for reply in replies if reply["role"] == "assistant" and reply.get("rank") is not None]
        if len(ranked) > 1:
            yield ranking(path, [reply["text"] for reply in ranked], [whole(reply["rank"]) for reply in ranked])
        waiting += [(reply, path) for reply in reversed(replies)]
