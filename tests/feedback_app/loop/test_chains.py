"""Rounds whose method is a chain of stages: who gets what, and what a worker that takes over does again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from feedback_app.errors import RoundFailed, UsageError
from feedback_app.loop.report import round_report
from feedback_app.loop.rounds import start_round
from feedback_app.loop.training import artifacts
from feedback_app.loop.versions import register_artifact
from feedback_app.store.database import Store
from feedback_app.store.tables import Attempt, Round
from tests.feedback_app.loop.bench import Bench
from tests.feedback_app.loop.parts import serve_base

pytestmark = pytest.mark.slow


def start(bench: Bench, **settings: Any) -> Round:
    return start_round(bench.store, "ppo", seed=5, settings=settings)


def attempts_of(bench: Bench, round_id: int | None, stage: str) -> list[Attempt]:
    found = [row for row in bench.store.rounds.stages(round_id or 0) if row.name == stage]
    return bench.store.rounds.attempts(found[0].id or 0) if found else []


def spec_of(bench: Bench, round_id: int | None, stage: str) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads((Path(attempts_of(bench, round_id, stage)[-1].folder) / "spec.json").read_text())
    return spec


async def test_a_ppo_round_trains_a_reward_model_and_then_from_it(make: Callable[..., Bench]) -> None:
    bench = make()
    await bench.begin()
    asked = start(bench, beta=0.2, **{"reward.epochs": 2})
    turn = await bench.worker.run_next_round()
    assert turn is not None
    assert turn.status == "held", turn.reasons
    report = round_report(bench.store, turn)
    assert [(stage["name"], stage["status"]) for stage in report["stages"]] == [
        (name, "done") for name in ("snapshot", "reward", "ppo", "register", "stage", "evaluate", "gate")
    ]
    assert all(stage["seconds"] >= 0 for stage in report["stages"])
    reward, ppo = spec_of(bench, asked.id, "reward"), spec_of(bench, asked.id, "ppo")
    assert reward["settings"] == {"epochs": 2}
    assert ppo["settings"]["beta"] == 0.2
    assert Path(ppo["settings"]["prompts"]).name == "compare.jsonl"
    used = report["evaluation"]["prompts"]
    assert (used["set"], used["train"], used["held_out"]) == ("tiny", 420, 720)
    made = artifacts(bench.store, asked.id or 0)
    assert (reward["reward"], ppo["reward"]) == (None, str(made["reward"]))
    assert reward["data"] == ppo["data"]
    for name in ("reward", "ppo"):
        stage = next(row for row in bench.store.rounds.stages(asked.id or 0) if row.name == name)
        assert [record.record["step"] for record in bench.store.rounds.progress(stage_id=stage.id)] == [1, 2, 3]
    assert set(report["evaluation"]["chain"]) == {"reward", "ppo"}


async def test_a_worker_that_takes_over_goes_on_at_the_stage_that_was_not_complete(make: Callable[..., Bench]) -> None:
    bench = make(mode="slow-last")
    await bench.begin()
    asked = start(bench)
    async with bench.running():
        await bench.until(lambda: any(attempt.pid for attempt in attempts_of(bench, asked.id, "ppo")))
    first = attempts_of(bench, asked.id, "ppo")
    (Path(first[0].folder).parent / "go").touch()
    turn = await bench.new_worker().run_next_round()
    assert turn is not None
    assert turn.status == "held", turn.reasons
    assert len(attempts_of(bench, asked.id, "reward")) == 1
    assert len(attempts_of(bench, asked.id, "ppo")) == 2
    assert spec_of(bench, asked.id, "ppo")["reward"] == attempts_of(bench, asked.id, "reward")[0].folder


async def test_a_chain_that_is_cancelled_leaves_nothing_behind(make: Callable[..., Bench]) -> None:
    bench = make(mode="slow-last")
    await bench.begin()
    asked = start(bench)
    async with bench.running():
        await bench.until(lambda: any(attempt.pid for attempt in attempts_of(bench, asked.id, "ppo")))
        bench.store.rounds.request_cancel(asked.id or 0)
        await bench.until(lambda: bench.get(asked.id or 0).status == "cancelled")
    stages = [(row.name, row.status) for row in bench.store.rounds.stages(asked.id or 0)]
    assert stages == [("snapshot", "done"), ("reward", "done"), ("ppo", "cancelled")]
    assert bench.meaning() == "base"


async def test_a_chain_without_enough_to_compare_fails_before_it_starts(make: Callable[..., Bench]) -> None:
    bench = make()
    await bench.begin(pairs=3)
    start(bench)
    turn = await bench.worker.run_next_round()
    assert turn is not None
    assert (turn.status, turn.reasons[0][:42]) == ("failed", "There are 3 pairs to train on and 8 are ne")


async def test_likes_and_dislikes_are_what_a_kto_round_asks_for(make: Callable[..., Bench]) -> None:
    bench = make()
    await bench.begin()
    start_round(bench.store, "kto")
    turn = await bench.worker.run_next_round()
    assert turn is not None
    assert turn.status == "failed"
    assert turn.reasons[0] == "kto needs at least one like; this snapshot has 0 likes and 0 dislikes."


def test_a_setting_for_a_stage_that_is_not_in_the_chain_is_refused_at_once(live_store: Store) -> None:
    with pytest.raises(UsageError, match="ppo has no stage dpo, so nothing can be set in it; it has reward, ppo"):
        start_round(live_store, "ppo", settings={"dpo.beta": 0.1})
    assert live_store.rounds.listing() == []


def test_a_reward_model_is_never_registered(sqlite_store: Store, tmp_path: Path) -> None:
    base = serve_base(sqlite_store)
    turn = sqlite_store.rounds.add("ppo", None, 0, {})
    folder = tmp_path / "reward-1"
    folder.mkdir()
    (folder / "reward.json").write_text("{}")
    with pytest.raises(RoundFailed, match="it scores answers and cannot give any"):
        register_artifact(
            sqlite_store, turn, folder, artifact_hash="h", base=base, parent="base", home=tmp_path / "versions"
        )
    assert [version.name for version in sqlite_store.versions.listing()] == ["base"]


async def test_a_constitution_round_trains_on_the_rows_that_its_first_stage_made(make: Callable[..., Bench]) -> None:
    bench = make()
    await bench.begin(pairs=1)
    asked = start_round(bench.store, "constitution", settings={"beta": 0.2, "constitution.count": 32})
    turn = await bench.worker.run_next_round()
    assert turn is not None
    assert turn.status == "held", turn.reasons
    rows, dpo = spec_of(bench, asked.id, "constitution"), spec_of(bench, asked.id, "dpo")
    assert rows["settings"]["count"] == 32
    assert rows["settings"]["principles"] == str((bench.settings.data / "principles.txt").resolve())
    assert rows["data_hash"]
    assert dpo["data"] == str(artifacts(bench.store, asked.id or 0)["constitution"])
    assert (dpo["settings"], dpo["data_hash"]) == ({"beta": 0.2}, "")
