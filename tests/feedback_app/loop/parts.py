"""What the loop's tests build with: versions, rounds, votes, a sampler without a model, a stage without training."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

from alignment.dataset.judgement import Message
from alignment.stage.artifact import finish
from alignment.stage.sampler import Sample, Sampling
from feedback_app.loop.votes import challenge
from feedback_app.store.database import Store
from feedback_app.store.tables import Person, Round, Version
from tests.fakes import shown
from tests.feedback_app.builders import add_version, show

FAKE_STAGE = Path(__file__).with_name("fake_stage.py")


def serve_base(store: Store) -> Version:
    """The first version, published."""
    base = add_version(store, "base")
    store.versions.publish("base", "first")
    return base


def made_by(store: Store, name: str, turn: Round, *, state: str = "ready") -> Version:
    """An adapter that a round made, on the model of `serve_base`."""
    return store.versions.add(
        Version(
            name=name,
            kind="aligned",
            form="adapter",
            path=f"/versions/{name}",
            base_hash="b" * 64,
            artifact_hash=f"hash-of-{name}",
            round_id=turn.id,
            state=state,
            created_at=store.now(),
        )
    )


def real_adapter(
    store: Store, home: Path, name: str, turn: Round | None = None, *, says: str = "", state: str = "ready"
) -> Version:
    """The same with files of its own; `says` tells its weights from others'."""
    folder = (home / name).resolve()
    write_adapter(folder, says or name)
    return store.versions.add(
        Version(
            name=name,
            kind="aligned",
            form="adapter",
            path=str(folder),
            base_hash="b" * 64,
            artifact_hash=finish(folder, {"stage": "dpo"}, {}, {}).hash,
            parent="base",
            round_id=turn.id if turn is not None else None,
            state=state,
            created_at=store.now(),
        )
    )


def write_adapter(folder: Path, says: str) -> None:
    """The two files of an adapter: no tensors, and `says` in their place."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text('{"r": 1}')
    header = json.dumps({"__metadata__": {"says": says}}).encode()
    (folder / "adapter_model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)


def held_round(store: Store, name: str = "policy-0001", *, needed: int = 60) -> Round:
    """A round whose version is the challenger of `base` and waits for votes."""
    turn = store.rounds.add("dpo", None, 0, {})
    assert turn.id is not None
    claimed = store.rounds.claim("w", 60.0)
    assert claimed is not None
    turn = store.rounds.update(turn.id, incumbent="base", version=name)
    version = made_by(store, name, turn)
    return challenge(store, turn, version, ["It kept what it could do."], needed)


def vote(store: Store, person: Person, challenger: str, outcome: str, incumbent: str = "base") -> None:
    """One blind vote on a challenger, through a ticket: win, loss, tie, bad (both) or none (can't judge)."""
    shown = show(store, person, "Paris!", "Paris.", versions=[challenger, incumbent], challenger=challenger)
    new, old = shown.answer_ids
    ranks = {"win": {new: 1, old: 2}, "loss": {new: 2, old: 1}, "tie": {new: 1, old: 1}}
    verdict: dict[str, Any] = {"ranks": ranks.get(outcome, {}), "cannot_judge": outcome == "none"}
    if outcome == "bad":
        verdict["marks"] = {new: "bad", old: "bad"}
    store.judgements.record(shown.id, person.id, verdict)


def compared(store: Store, person: Person, number: int) -> None:
    """One decided comparison of two answers of `base`, on a prompt of its own."""
    shown = show(store, person, f"Gladly: {number}!", f"{number}.", prompt=f"Which number is {number}?")
    warm, curt = shown.answer_ids
    store.judgements.record(shown.id, person.id, {"ranks": {warm: 1, curt: 2}, "strength": "clearly"})


def launcher(mode: str) -> str:
    """A train launcher that runs a stage without a training library, in one of `fake_stage.py`'s modes."""
    return f"{sys.executable} {FAKE_STAGE} {mode}"


@dataclass
class FakeSampler:
    """Answers every prompt; `right` says of which versions a capability question gets its right answer.

    `asked`, `scored` and `chosen` count the prompts by version, `encoded` all; the base finds a token less likely than
    others do; `likes` are the tokens that a version chooses (see `next_logprobs`); `fail` raises instead, once per
    entry.
    """

    answers: dict[str, str] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    scored: dict[str, int] = field(default_factory=dict)
    encoded: int = 0
    likes: dict[str, set[int | tuple[int, int]]] = field(default_factory=dict)
    chosen: dict[str, int] = field(default_factory=dict)
    fail: list[Exception] = field(default_factory=list)

    def sample(self, version: str, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[list[Sample]]:
        if self.fail:
            raise self.fail.pop()
        self.asked[shown(version)] = self.asked.get(shown(version), 0) + len(prompts)
        text = self.answers.get(shown(version), "It is blue, I think.")
        return [[Sample(text, "stop", (1, 2, 3), (-1.0, -1.0, -1.0))] for _ in prompts]

    def score(self, version: str, prompts: Sequence[Sequence[Message]], samples: Sequence[Sample]) -> list[list[float]]:
        self.scored[shown(version)] = self.scored.get(shown(version), 0) + len(prompts)
        return [[-1.5 if shown(version) != "base" else -2.0] * len(sample.tokens) for sample in samples]

    def continued(
        self, version: str, prompts: Sequence[Sequence[Message]], lead: str, texts: Sequence[Sequence[str]]
    ) -> list[tuple[list[int], list[list[int]]] | None]:
        """A token is the sum of a word's letters; an opening is one, its question's checksum."""
        return [
            ([crc32(prompt[-1].content.encode())], [[sum(map(ord, word)) for word in text.split()] for text in some])
            for prompt, some in zip(prompts, texts, strict=True)
        ]

    def next_logprobs(
        self, version: str, contexts: Sequence[Sequence[int]], tokens: Sequence[Sequence[int]]
    ) -> list[dict[int, float]]:
        """A version likes the tokens best that `likes` names, anywhere or behind an opening, else the largest."""
        self.chosen[shown(version)] = self.chosen.get(shown(version), 0) + len(contexts)
        liked = self.likes.get(shown(version), set())
        return [
            {token: -1.0 if liked & {token, (context[0], token)} else -10 - 1 / token for token in some}
            for context, some in zip(contexts, tokens, strict=True)
        ]

    def encode(self, version: str, prompts: Sequence[Sequence[Message]], answers: Sequence[str]) -> list[Sample]:
        self.encoded += len(prompts)
        return [Sample(answer, "stop", (4, 5)) for answer in answers]


@dataclass(frozen=True)
class FakeFacts:
    """What `serving.model_check` would have found."""

    template_hash: str = "t1"
    weights_hash: str = "b" * 64
    max_len: int = 512
    temperature: float | None = 0.8
    architecture: str = "LlamaForCausalLM"
    dtype: str = ""
    turn_tokens: tuple[str, ...] = ()
    longest_token: int = 128
    kv_bytes: int = 0
