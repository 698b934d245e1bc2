"""Whole rounds by the worker: real store, real child processes and artifacts; vLLM and training are fakes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alignment.stage.artifact import finish
from feedback_app.errors import Conflict, NotFound, Unavailable, UsageError
from feedback_app.heartbeat import WORKER, Life, look
from feedback_app.loop.publish import promote
from feedback_app.loop.report import round_report
from feedback_app.loop.rounds import EXIT_CODES, METHODS, start_round, wait_for
from feedback_app.loop.worker import LEASE_S
from feedback_app.store.database import Store
from serving.errors import VllmError, VllmUnreachable
from tests.feedback_app.loop.bench import PAIRS, Bench
from tests.feedback_app.loop.parts import real_adapter, vote

pytestmark = pytest.mark.slow


async def test_a_round_makes_a_challenger_and_says_what_it_needs(make: Callable[..., Bench]) -> None:
    bench = make()
    await bench.begin()
    round_id = bench.start(seed=3)
    turn = await bench.worker.run_next_round()
    assert turn is not None
    assert turn.status == "held", turn.reasons
    assert turn.reasons[0] == "It needs 8 more blind votes between policy-0001 and base."
    assert bench.meaning() == "base"
    assert set(bench.vllm.versions) == {"policy-0001"}
    report = round_report(bench.store, turn)
    assert [(stage["name"], stage["status"]) for stage in report["stages"]] == [
        (name, "done") for name in ("snapshot", "dpo", "register", "stage", "evaluate", "gate")
    ]
    assert report["rows"] == report["rows"] | {"train": PAIRS, "held_out": 0, "by_kind": {"compare": PAIRS}}
    assert report["seconds"]["rest"] <= 15
    assert report["evaluation"]["capability"]["n"] == 600
    assert len(report["samples"]) == 8
    assert EXIT_CODES[turn.status] == 3
    stages = {stage.name: stage for stage in bench.store.rounds.stages(round_id)}
    progress = bench.store.rounds.progress(stage_id=stages["dpo"].id)
    assert [record.record["step"] for record in progress] == [1, 2, 3]
    assert stages["dpo"].counted_attempt is not None
    version = bench.store.versions.get("policy-0001")
    assert version is not None
    assert (version.state, version.parent, version.round_id) == ("challenger", "base", round_id)
    assert (bench.home / "versions" / "policy-0001" / "COMPLETE").exists()
    assert await bench.worker.run_next_round() is None, "nothing is left to do"


async def test_votes_promote_the_challenger_while_the_worker_runs(make: Callable[..., Bench]) -> None:
    bench = make()
    await bench.begin()
    async with bench.running():
        turn = await asyncio.to_thread(wait_for, bench.store, bench.start(), timeout_s=60)
        assert turn.status == "held"
        person = bench.store.people.by_name("ann")
        assert person is not None
        for _ in range(8):
            vote(bench.store, person, "policy-0001", "win")
        await bench.until(lambda: bench.meaning() == "policy-0001")
        await bench.until(lambda: bench.get(turn.id or 0).status == "promoted")
    assert "policy-0001" in bench.vllm.versions


async def test_a_version_that_lost_its_capability_is_rejected(make: Callable[..., Bench]) -> None:
    bench = make()
    await bench.begin()
    right = "Paris, blue, green, 7, Monday; I can't help with that; I do not know; hello! One. Two. Three."
    bench.sampler.answers = {"base": right, "policy-0001": "Bananas are."}
    bench.start()
    turn = await bench.worker.run_next_round()
    assert turn is not None
    assert (turn.status, turn.verdict) == ("rejected", "fail")
    assert any("capability" in reason for reason in turn.reasons)
    assert bench.store.versions.get("policy-0001").state == "dropped"  # type: ignore[union-attr]
    assert bench.store.versions.challenger() is None


async def test_what_was_not_measured_well_enough_is_held_for_an_operator(make: Callable[..., Bench]) -> None:
    bench = make(capability_questions=24)
    await bench.begin()
    bench.start()
    turn = await bench.worker.run_next_round()
    assert turn is not None
    assert turn.status == "held"
    assert "24 questions" in turn.reasons[0]
    assert bench.store.versions.challenger() is None


async def test_too_few_judgements_fail_the_round_with_the_count(make: Callable[..., Bench]) -> None:
    bench = make()
    await bench.begin(pairs=3)
    bench.start()
    turn = await bench.worker.run_next_round()
    assert turn is not None
    assert turn.status == "failed"
    assert "3 pairs" in turn.reasons[0]
    assert "8 are needed" in turn.reasons[0]
    assert [(stage.name, stage.status) for stage in bench.store.rounds.stages(turn.id or 0)] == [("snapshot", "failed")]


@pytest.mark.parametrize(
    ("mode", "reason"), [("nan", r"step 2 because its loss is nan"), ("silent", "no usable artifact")]
)
async def test_a_training_that_goes_wrong_fails_the_round_and_changes_nothing(
    make: Callable[..., Bench], mode: str, reason: str
) -> None:
    bench = make(mode=mode)
    await bench.begin()
    bench.start()
    turn = await bench.worker.run_next_round()
    assert turn is not None
    assert turn.status == "failed"
    assert re.search(reason, turn.reasons[0])
    assert bench.meaning() == "base"
    assert [version.name for version in bench.store.versions.listing()] == ["base"]
    assert bench.vllm.loaded == {}


async def test_a_round_can_be_cancelled_in_its_training(make: Callable[..., Bench]) -> None:
    bench = make(mode="slow")
    await bench.begin()
    async with bench.running():
        round_id = bench.start()
        await bench.until(lambda: training(bench, round_id))
        bench.store.rounds.request_cancel(round_id)
        turn = await asyncio.to_thread(wait_for, bench.store, round_id, timeout_s=60)
    assert (turn.status, turn.reasons) == ("cancelled", ["Cancelled by an operator."])
    assert [stage.status for stage in bench.store.rounds.stages(round_id)] == ["done", "cancelled"]


async def test_a_worker_that_is_stopped_leaves_its_round_to_the_next_one(make: Callable[..., Bench]) -> None:
    bench = make(mode="slow")
    await bench.begin()
    round_id = bench.start()
    async with bench.running():
        await bench.until(lambda: training(bench, round_id))
    attempts = attempts_of(bench, round_id)
    assert bench.get(round_id).status == "running"
    (Path(attempts[0].folder).parent / "go").touch()
    began = time.monotonic()
    turn = await bench.new_worker().run_next_round()
    assert time.monotonic() - began < LEASE_S, "a worker that could say goodbye need not be waited for"
    assert turn is not None
    assert turn.status == "held", turn.reasons
    assert len(attempts_of(bench, round_id)) == 2


async def test_a_finished_attempt_of_a_dead_worker_is_adopted(make: Callable[..., Bench]) -> None:
    bench = make(mode="slow")
    await bench.begin()
    round_id = bench.start()
    async with bench.running():
        await bench.until(lambda: training(bench, round_id))
    (attempt,) = attempts_of(bench, round_id)
    finish_by_hand(Path(attempt.folder))
    turn = await bench.new_worker().run_next_round()
    assert turn is not None
    assert turn.status == "held", turn.reasons
    (only,) = attempts_of(bench, round_id)
    assert only.status == "done"


async def test_a_worker_that_lost_its_lease_touches_nothing_more(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feedback_app.loop.worker.RENEW_S", 0.1)
    bench = make(mode="slow")
    await bench.begin()
    round_id = bench.start()
    working = asyncio.create_task(bench.worker.run_next_round())
    await bench.until(lambda: training(bench, round_id))
    bench.store.rounds.update(round_id, lease_owner="another")
    turn = await asyncio.wait_for(working, 30)
    assert turn is not None
    assert (turn.status, turn.lease_owner) == ("running", "another")


async def test_vllm_may_go_away_in_the_middle_of_an_evaluation(make: Callable[..., Bench]) -> None:
    bench = make()
    await bench.begin()
    bench.sampler.fail = [VllmError(404, "no such model"), VllmUnreachable("gone")]
    bench.start()
    turn = await bench.worker.run_next_round()
    assert turn is not None
    assert turn.status == "held", turn.reasons


async def test_an_evaluation_without_vllm_fails_the_round(make: Callable[..., Bench]) -> None:
    bench = make()
    await bench.begin()
    bench.sampler.fail = [VllmUnreachable("gone")] * 3
    bench.start()
    turn = await bench.worker.run_next_round()
    assert turn is not None
    assert turn.status == "failed"
    assert "went away" in turn.reasons[0]
    assert bench.store.versions.get("policy-0001").state == "dropped"  # type: ignore[union-attr]


async def test_an_error_nobody_thought_of_is_a_reason_not_a_crash(make: Callable[..., Bench]) -> None:
    bench = make()
    await bench.begin()
    bench.sampler.fail = [ZeroDivisionError("division by zero")]
    bench.start()
    turn = await bench.worker.run_next_round()
    assert turn is not None
    assert turn.status == "failed"
    assert "ZeroDivisionError" in turn.reasons[0]


async def test_an_operator_promotes_a_version_that_is_not_loaded(make: Callable[..., Bench]) -> None:
    bench = make()
    await bench.begin()
    turn = bench.store.rounds.add("dpo", None, 0, {})
    bench.store.rounds.update(turn.id or 0, status="passed")
    real_adapter(bench.store, bench.settings.versions_dir, "policy-0042", turn)
    async with bench.running():
        await bench.until(lambda: any(beat.name == "worker" for beat in bench.store.heartbeats.all()))
        await asyncio.to_thread(promote, bench.store, "policy-0042", None)
    assert bench.meaning() == "policy-0042"
    assert "policy-0042" in bench.vllm.versions
    assert bench.get(turn.id or 0).status == "promoted"


async def test_the_schedule_starts_rounds_in_the_running_worker(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feedback_app.loop.worker.SCHEDULE_S", 0.1)
    bench = make()
    bench.store.schedule.set(enabled=True, every_judgements=PAIRS)
    async with bench.running():
        await bench.begin()
        await bench.until(lambda: bench.store.rounds.held())
    assert len(bench.store.rounds.listing()) == 1


async def test_a_duty_that_fails_is_done_again(make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feedback_app.loop.worker.SETTLE_S", 0.05)
    bench = make()
    calls: list[int] = []

    async def settle() -> None:
        calls.append(1)
        raise RuntimeError("the database is away")

    bench.worker.settle = settle  # type: ignore[method-assign, assignment]
    async with bench.running():
        await bench.until(lambda: len(calls) > 2)


def test_a_method_that_does_not_exist_gets_a_sentence(sqlite_store: Store) -> None:
    with pytest.raises(UsageError, match=f"no method called 'alchemy'.*{METHODS[0]}"):
        start_round(sqlite_store, "alchemy")


def test_never_two_rounds_at_once(sqlite_store: Store) -> None:
    start_round(sqlite_store, "dpo")
    with pytest.raises(Conflict, match="Round 1 is queued"):
        start_round(sqlite_store, "dpo")


def test_waiting_for_a_round_that_is_not_there_is_refused(sqlite_store: Store) -> None:
    with pytest.raises(NotFound):
        wait_for(sqlite_store, 7)
    turn = start_round(sqlite_store, "dpo")
    with pytest.raises(TimeoutError, match="still queued"):
        wait_for(sqlite_store, turn.id or 0, timeout_s=0.0)


def attempts_of(bench: Bench, round_id: int) -> list[Any]:
    stages = {stage.name: stage for stage in bench.store.rounds.stages(round_id)}
    return bench.store.rounds.attempts(stages["dpo"].id) if "dpo" in stages else []  # type: ignore[arg-type]


def training(bench: Bench, round_id: int) -> bool:
    """Whether progress has begun to arrive."""
    attempts = attempts_of(bench, round_id)
    return bool(attempts) and bool(bench.store.rounds.progress(attempts[-1].id))


def finish_by_hand(folder: Path) -> None:
    """What the stage would have left had it lived a moment longer."""
    with contextlib.suppress(FileNotFoundError):
        (folder / "error.json").unlink()
    (folder / "adapter_model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    finish(folder, json.loads((folder / "spec.json").read_text()), {"train_seconds": 0.1}, {})


async def test_a_worker_whose_vllm_does_not_answer_beats_all_the_same(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make()

    async def never() -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(bench.vllm, "models", never)

    def beats() -> list[float]:
        return [beat.at for beat in bench.store.heartbeats.all() if beat.name == WORKER]

    async with bench.running():
        await bench.until(beats)
        (first,) = beats()
        await bench.until(lambda: beats()[0] > first)
        assert look(bench.store, WORKER) is Life.ALIVE


async def test_a_round_goes_on_through_a_database_that_is_away_for_a_moment(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make(mode="slow")
    await bench.begin()
    round_id = bench.start()
    away = False

    def blinking(plain: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if away:
                raise Unavailable("The database does not work: it starts.")
            return plain(*arguments, **named)

        return call

    for name in ("get", "renew", "add_progress"):
        monkeypatch.setattr(bench.store.rounds, name, blinking(getattr(bench.store.rounds, name)))
    turning = asyncio.create_task(bench.worker.run_next_round())
    await bench.until(lambda: _records(bench, round_id))
    away = True
    await asyncio.sleep(2.0)  # several looks at whether it is cancelled, and several progress records
    away = False
    seen = len(_records(bench, round_id))
    await bench.until(lambda: len(_records(bench, round_id)) > seen)
    (bench.home / "rounds" / f"{round_id:04d}" / "go").touch()
    turn = await turning
    assert turn is not None
    assert turn.status == "held", turn.reasons
    numbers = [record.number for record in _records(bench, round_id)]
    assert numbers == list(range(1, len(numbers) + 1))


def _records(bench: Bench, round_id: int) -> list[Any]:
    stage = next((stage for stage in bench.store.rounds.stages(round_id) if stage.name == "dpo"), None)
    return list(bench.store.rounds.progress(stage_id=stage.id)) if stage is not None else []
