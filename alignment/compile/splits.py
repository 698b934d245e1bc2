"""Which rows are held out: by prompt, never by row, and the same way as the data grows.

Rows are clustered by the first user message of their context (folded) and by conversation, because later
turns of a conversation contain its earlier ones, and a window may have cut the first turn away. A whole
cluster lies on one side. The side comes from a hash of the cluster's smallest key, so a new judgement
moves old rows only where it joins two clusters that lay apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from alignment.compile.text import fold
from alignment.judgement import Judgement, Message

HELD_OUT_SHARE = 0.175
HELD_OUT_FROM = 100  # judgements; below this every pair is needed for training


def prompt_key(context: tuple[Message, ...]) -> str:
    """The cluster key of a context: a hash of its first user message, folded (of all of it, if there is none)."""
    first = next((message.content for message in context if message.role == "user"), None)
    text = fold(first) if first is not None else "\n".join(fold(message.content) for message in context)
    return hashlib.sha256(text.encode()).hexdigest()


def held_out(key: str, seed: int) -> bool:
    """Whether a cluster of this key is held out; a fixed function of key and seed."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64 < HELD_OUT_SHARE


def split_of(judgements: Iterable[Judgement], seed: int) -> Mapping[str, str]:
    """`train` or `held_out` for every judgement's id."""
    listed = list(judgements)
    if len(listed) < HELD_OUT_FROM:
        return {judgement.id: "train" for judgement in listed}
    clusters = _Clusters()
    for judgement in listed:
        clusters.join(prompt_key(judgement.context), judgement.conversation)
    return {
        judgement.id: "held_out" if held_out(clusters.smallest(prompt_key(judgement.context)), seed) else "train"
        for judgement in listed
    }


class _Clusters:
    """Union-find over prompt keys; conversations tie keys together. The root of a cluster is its smallest key."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}
        self._of_conversation: dict[str, str] = {}

    def join(self, key: str, conversation: str | None) -> None:
        """Add a key, in one cluster with every other key of its conversation."""
        self._parent.setdefault(key, key)
        if conversation is None:
            return
        first = self.smallest(self._of_conversation.setdefault(conversation, key))
        second = self.smallest(key)
        self._parent[max(first, second)] = min(first, second)

    def smallest(self, key: str) -> str:
        """The smallest key of this key's cluster."""
        while self._parent[key] != key:
            self._parent[key] = self._parent[self._parent[key]]
            key = self._parent[key]
        return key
