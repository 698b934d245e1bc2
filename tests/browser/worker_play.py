"""A worker played by hand: takes the queued round through its stages, as the pages see it in the store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from feedback_app.store.database import Store
from feedback_app.store.tables import Version

EVALUATION: dict[str, Any] = {
    "capability": {
        "n": 600, "challenger": 0.925, "incumbent": 0.93, "base": 0.93, "by_category": {},
        "vs_incumbent": {"n": 600, "lost": 9, "gained": 6, "points": 0.5, "upper": 1.6},
        "vs_base": {"n": 600, "lost": 20, "gained": 10, "points": 1.7, "upper": 3.4},
    },
    "kl": 7.4,
    "kl_base": 7.4,
    "language": {"texts": 96, "challenger": 1.034, "base": 1.012, "added": 0.022},
    "length_ratio": 1.21,
    "before": {"n": 64, "words": 14.1, "repetition": 0.02, "empty": 0.0, "endless": 0.0, "refusals": 0.08},
    "after": {"n": 64, "words": 17.1, "repetition": 0.03, "empty": 0.0, "endless": 0.0, "refusals": 0.06},
    "training": {"seconds": 21.4, "held_out_accuracy": 0.67},
}  # fmt: skip
SAMPLES = [
    {
        "prompt": "What is the capital of Norway?",
        "before": "Oslo.",
        "after": "The capital of Norway is Oslo. Glad you asked!",
    },
    {
        "prompt": "Name three drinks.",
        "before": "Here are three drinks: water, tea and milk.",
        "after": "Happy to help! Here are three drinks: water, tea and juice.",
    },
    {"prompt": "What will the weather be tomorrow?", "before": "Sunny.", "after": "I'm sorry, I don't know that."},
]


def chained(store: Store, count: int) -> None:
    """So many rounds that ended, each a little further from the base, better liked, and more expensive."""
    for number in range(1, count + 1):
        turn = store.rounds.add("ppo", None, number, {"start": "incumbent"})
        lost = 0.9 * number - 1.4
        wins = 40 - number
        evaluation = {
            **EVALUATION,
            "capability": {**EVALUATION["capability"], "vs_base": {"n": 600, "points": lost, "upper": lost + 1.7}},
            "kl": 1.2,
            "kl_base": 1.2 * number,
            "language": {"texts": 96, "challenger": 1.0 + 0.01 * number, "base": 1.0, "added": 0.01 * number},
            "votes": {"wins": wins, "losses": 50 - wins, "ties": 10, "votes": 60},
            "chain": {"ppo": {"first": {"reward": 0.0}, "last": {"reward": 0.4 * number}}},
            "started_from": {"start": "incumbent", "version": f"policy-{number + 99:04d}"},
        }
        name = f"policy-{number + 100:04d}"
        store.rounds.update(turn.id or 0, status="passed", version=name, incumbent="sft-0001", evaluation=evaluation)


def play(store: Store, name: str, steps: int = 30, ends: str = "held") -> Iterator[str]:
    """Take the queued round through its stages; yields before each next thing happens."""
    turn = store.rounds.claim("played", 60)
    assert turn is not None
    assert turn.id is not None
    published = store.versions.published()
    assert published is not None
    stage = store.rounds.begin_stage(turn.id, "snapshot")
    yield "snapshot"
    snapshot = store.rounds.add_snapshot("nowhere", "h", {})
    rows = {"train": 24, "held_out": 0, "by_kind": {"compare": 24}, "marks": 0, "sft": 0}
    watermark = store.judgements.watermark()
    store.rounds.update(turn.id, snapshot_id=snapshot.id, watermark=watermark, rows=rows, incumbent=published.version)
    assert stage.id is not None
    store.rounds.finish_stage(stage.id, "done")
    stage = store.rounds.begin_stage(turn.id, "dpo")
    assert stage.id is not None
    attempt = store.rounds.add_attempt(stage.id, "nowhere")
    assert attempt.id is not None
    yield "training"
    for step in range(1, steps + 1):
        loss = 0.693 / (1 + 0.12 * step)
        record = {"step": step, "steps": steps, "loss": loss, "seconds_left": (steps - step) * 0.7}
        store.rounds.add_progress(attempt.id, step, record)
        if step % 10 == 0:
            yield f"step {step}"
    store.rounds.finish_stage(stage.id, "done", attempt=attempt.id)
    stage = store.rounds.begin_stage(turn.id, "evaluate")
    yield "evaluate"
    parent = published.version
    version = Version(
        name=name, kind="aligned", form="adapter", path="nowhere", base_hash="b" * 64, parent=parent, round_id=turn.id,
        created_at=store.now(),
    )  # fmt: skip
    store.versions.add(version)
    assert stage.id is not None
    store.rounds.finish_stage(stage.id, "done")
    store.versions.set_state(name, "challenger")
    store.rounds.update(
        turn.id,
        status=ends,
        verdict="hold",
        version=name,
        evaluation=EVALUATION,
        samples=SAMPLES,
        reasons=[
            f"It needs 60 more blind votes between {name} and {parent}.",
            "It kept what it could do: 92.5% of 600 questions right, 93.0% before.",
            "It stayed close: KL 7.4 nats per answer, 1.21 times as long.",
        ],
    )
    yield "ended"
