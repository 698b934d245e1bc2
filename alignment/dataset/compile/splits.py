"""Which rows are held out: by prompt, never by row, and the same way as the data grows.

Rules, in full:

- A prompt is the first user message of a context, folded. Prompts that are nearly the same (`near`) lie in
  one cluster, and so do all prompts of a conversation, because later turns contain the earlier ones and a
  window may have cut the first turn away. A whole cluster lies on one side.
- The side comes from a hash of the cluster's smallest key and the seed, so a new judgement moves old rows
  only where it joins two clusters that lay apart.
- The core is a small fixed part of all possible prompts, chosen by hash alone: a cluster with a prompt in it
  is held out whatever the seed, and for ever.
- Below `HELD_OUT_FROM` judgements nothing is held out, because every pair is needed.
"""

from __future__ import annotations

import hashlib
from array import array

from alignment.dataset.compile.near import Signatures
from alignment.dataset.compile.text import fold
from alignment.dataset.judgement import Judgement, Message

HELD_OUT_SHARE = 0.175
CORE_SHARE = 0.02
HELD_OUT_FROM = 100  # judgements; below this every pair is needed for training


def prompt_text(context: tuple[Message, ...]) -> str:
    """What the cluster of a context is about: its first user message, folded (all of it, if there is none)."""
    first = next((message.content for message in context if message.role == "user"), None)
    return fold(first) if first is not None else "\n".join(fold(message.content) for message in context)


def prompt_key(context: tuple[Message, ...]) -> int:
    """64 bits that name a context's prompt."""
    return _key(prompt_text(context))


def held_out(key: int, seed: int) -> bool:
    """Whether a cluster of this key is held out; a fixed function of key and seed."""
    return _share(f"{seed}:{key:016x}") < HELD_OUT_SHARE


def in_core(key: int) -> bool:
    """Whether a prompt of this key belongs to the part that never trains; a fixed function of the key alone."""
    return _share(f"core:{key:016x}") < CORE_SHARE


class Clusters:
    """The prompts seen so far, and which of them belong together. A few hundred bytes for each prompt."""

    def __init__(self) -> None:
        self._judgements = 0
        self._places: dict[int, int] = {}
        self._keys = array("Q")
        self._parents = array("I")
        self._signatures = Signatures()
        self._of_conversation: dict[int, int] = {}

    def add(self, judgement: Judgement) -> int:
        """Take a judgement's prompt in; returns its key."""
        self._judgements += 1
        return self.add_prompt(judgement.context, judgement.conversation)

    def add_prompt(self, context: tuple[Message, ...], conversation: str | None = None) -> int:
        """Take a prompt in that nobody judged; returns its key."""
        text = prompt_text(context)
        key = _key(text)
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = len(self._keys)
            self._keys.append(key)
            self._parents.append(place)
            self._signatures.add(text)
        if conversation is not None:
            self._join(self._of_conversation.setdefault(_key(conversation), place), place)
        return key

    def sides(self, seed: int) -> dict[int, str]:
        """`train` or `held_out` for every prompt's key."""
        for one, other in self._signatures.alike(self._keys):
            self._join(one, other)
        few = self._judgements < HELD_OUT_FROM
        roots = [self._root(place) for place in range(len(self._keys))]
        core = {root for place, root in enumerate(roots) if in_core(self._keys[place])}
        apart = {root: not few and (root in core or held_out(self._keys[root], seed)) for root in dict.fromkeys(roots)}
        return {key: "held_out" if apart[roots[place]] else "train" for key, place in self._places.items()}

    def _join(self, one: int, other: int) -> None:
        """Put two prompts into one cluster; its root is the place with the smallest key."""
        first, second = self._root(one), self._root(other)
        if first != second:
            if self._keys[first] > self._keys[second]:
                first, second = second, first
            self._parents[second] = first

    def _root(self, place: int) -> int:
        while self._parents[place] != place:
            self._parents[place] = self._parents[self._parents[place]]
            place = self._parents[place]
        return place


def _key(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8])


def _share(text: str) -> float:
    return float(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64)
