"""The first look at every judgement: what rules need to know of all before they can say anything of one.

A few hundred bytes for each prompt and a few for each verdict are kept, and no texts, so that a survey of
millions fits into memory.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from alignment.dataset.compile.pairs import strict_pairs
from alignment.dataset.compile.ranked_groups import usable
from alignment.dataset.compile.reliability import Ballots, person_weights
from alignment.dataset.compile.splits import Clusters, prompt_key
from alignment.dataset.counts import Heard
from alignment.dataset.judgement import Judgement, Kind, Mark, Message


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What the first look found: the side of every prompt, by `prompt_key`, and everybody's weight."""

    sides: Mapping[int, str]
    reliability: Mapping[str, float]

    def side(self, context: tuple[Message, ...]) -> str:
        """`train` or `held_out`; a prompt that only gold verdicts are on gives no rows and has no real side."""
        return self.sides.get(prompt_key(context), "train")


@dataclass
class Survey:
    """Sees judgements one by one, in any order."""

    clusters: Clusters = field(default_factory=Clusters)
    ballots: Ballots = field(default_factory=Ballots)
    by_kind: Counter[str] = field(default_factory=Counter)
    scripted: int = 0

    def see(self, judgement: Judgement) -> bytes:
        """Take one judgement in; returns the digest of its context."""
        digest = context_digest(judgement.context)
        self.by_kind[judgement.kind.value] += 1
        self.scripted += judgement.scripted
        self.ballots.count(judgement.person, judgement.gold)
        if judgement.gold is not None:  # says how far its person can be relied on, and nothing else
            return digest
        if not judgement.repeat:  # a prompt has been seen once, however often its answers were shown
            self.clusters.add(judgement)
        if judgement.cannot_judge:
            return digest
        if judgement.kind is Kind.LIKE:
            for candidate in judgement.candidates:
                if candidate.mark is not None and usable(candidate):
                    item = _item(digest, judgement.task, candidate.text)
                    self.ballots.add(item, judgement.person, 1 if candidate.mark is Mark.GOOD else -1)
            return digest
        for better, worse in strict_pairs(judgement):
            up = better.text < worse.text
            first, second = (better.text, worse.text) if up else (worse.text, better.text)
            self.ballots.add(_item(digest, judgement.task, first, second), judgement.person, 1 if up else -1)
        return digest

    def result(self, seed: int, *, reliability: bool = True) -> Surveyed:
        """What all of them together say; without `reliability` everybody weighs the same."""
        return Surveyed(self.clusters.sides(seed), person_weights(self.ballots) if reliability else {})

    def counts(self) -> Heard:
        """How many judgements there were."""
        return Heard(
            judgements=sum(self.by_kind.values()),
            scripted=self.scripted,
            by_kind=dict(sorted(self.by_kind.items())),
            people=len(self.ballots.judgements),
        )


def context_digest(context: tuple[Message, ...]) -> bytes:
    """128 bits that name a context, exactly as it is."""
    digest = hashlib.blake2b(digest_size=16)
    for message in context:
        for text in (message.role, message.content):
            data = text.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8) + data)
    return digest.digest()


def _item(digest: bytes, *texts: str) -> int:
    content = digest + "\0".join(texts).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest())
