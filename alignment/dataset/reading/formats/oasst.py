"""OpenAssistant's conversation trees: messages with ranked siblings.

Every message with two or more ranked answers is a ranking (ranks start at 0 there); answers without a rank
and deleted messages say nothing. Rankings that share their beginning are written as one tree. Carries turns
of a prompter and an assistant, from the prompter on; system and tool messages have no place there, and rows
that hold one are left out and counted.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator

from alignment.dataset.judgement import Message
from alignment.dataset.reading.feedback import Feedback, Record

_ROLES = {"user": "prompter", "assistant": "assistant"}


def write_oasst(rankings: Iterable[Feedback], left_out: Counter[str]) -> Iterator[Record]:
    """One tree per first message; where one prompt was ranked twice, the second begins a tree of its own."""
    trees: dict[tuple[str, int], Record] = {}
    for feedback in rankings:
        turns = feedback.prompt
        if len({answer.text for answer in feedback.answers}) < len(feedback.answers):
            left_out["two answers are the same"] += 1
            continue
        if any(turn.role not in _ROLES for turn in turns):
            left_out["a system or tool message, which oasst has no place for"] += 1
        elif turns[0].role != "user" or turns[-1].role != "user":
            left_out["a conversation that does not begin and end with a question"] += 1
        else:
            number = 0
            while not _grafted(trees, feedback, number):
                number += 1
    yield from trees.values()


def _grafted(trees: dict[tuple[str, int], Record], feedback: Feedback, number: int) -> bool:
    """Put a ranking into this number of tree for its first message; False where another ranking stands there."""
    turns = feedback.prompt
    root = turns[0].content
    if (root, number) not in trees:
        node = _node(turns[0], None, number)
        trees[root, number] = {"message_tree_id": node["message_id"], "tree_state": "ready_for_export", "prompt": node}
    node = trees[root, number]["prompt"]
    for turn in turns[1:]:
        below = [
            reply for reply in node["replies"] if (reply["role"], reply["text"]) == (_ROLES[turn.role], turn.content)
        ]
        if not below:
            below = [_node(turn, node["message_id"], number)]
            node["replies"] += below
        node = below[0]
    if any("rank" in reply for reply in node["replies"]):
        return False
    for answer in feedback.answers:
        same = [reply for reply in node["replies"] if (reply["role"], reply["text"]) == ("assistant", answer.text)]
        if not same:
            same = [_node(Message("assistant", answer.text), node["message_id"], number)]
            node["replies"] += same
        same[0]["rank"] = (answer.rank or 1) - 1
    return True


def _node(turn: Message, parent: str | None, number: int) -> Record:
    """A message; its id is a function of its place, so equal data gives equal files."""
    place = json.dumps([parent, number, turn.role, turn.content])
    digest = hashlib.sha256(place.encode()).hexdigest()
    node: Record = {"message_id": "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))}
    if parent is not None:
        node["parent_id"] = parent
    return node | {"text": turn.content, "role": _ROLES[turn.role], "deleted": False, "replies": []}
