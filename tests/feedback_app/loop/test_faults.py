"""`kill -9` in the middle of a round: what was begun is finished or is a reason, and serving stays as it was."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from alignment.stage.artifact import read_manifest
from alignment.stage.checkpoints import holds_one
from feedback_app.loop.rounds import start_round, wait_for
from feedback_app.loop.worker import Worker
from feedback_app.settings import Settings, TrainOn
from feedback_app.store.database import Store, open_store
from feedback_app.store.tables import Attempt, Round
from tests.alignment.tiny_model import make_tiny_model
from tests.fakes import FakeVllm, fake_server
from tests.feedback_app.loop.parts import FakeFacts, FakeSampler, compared, launcher
from tests.waiting import until

PROGRAM = Path(__file__).with_name("worker_process.py")
DEADLINE_S = 120.0


@pytest.fixture
def database(tmp_path: Path) -> str:
    """A database that several processes share."""
    return f"sqlite:///{tmp_path / 'alignloop.db'}"


@pytest.fixture
def live_store(database: str) -> Iterator[Store]:
    """This test's own look at it, with a clock that runs."""
    store = open_store(database)
    yield store
    store.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Runtime state of every worker of the test."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@asynccontextmanager
async def worker_process(database: str, home: Path, url: str, mode: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker in a process; killed at the end if it still lives."""
    with (home / "worker.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(PROGRAM), database, str(home), url, mode, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def ended(store: Store, round_id: int, home: Path) -> Round:
    """The round, once it has ended; the workers' log is shown when it does not."""
    try:
        return await asyncio.to_thread(wait_for, store, round_id, timeout_s=DEADLINE_S)
    except TimeoutError:
        log = home / "worker.log"
        pytest.fail(log.read_text()[-3000:] if log.exists() else "no worker wrote anything")


def judge_some(store: Store) -> None:
    """Enough comparisons for a round."""
    person = store.people.add("ann", "annotator", "")
    for number in range(10):
        compared(store, person, number)


def attempts_of(store: Store, round_id: int) -> list[Attempt]:
    return [
        attempt
        for stage in store.rounds.stages(round_id)
        if stage.name == "dpo" and stage.id is not None
        for attempt in store.rounds.attempts(stage.id)
    ]


def training(store: Store, round_id: int) -> Attempt | None:
    """The attempt that has reported progress."""
    return next((one for one in attempts_of(store, round_id) if one.pid and store.rounds.progress(one.id)), None)


def alive(pid: int | None) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


@pytest.mark.slow
async def test_a_killed_training_is_a_reason_and_the_next_round_works(live_store: Store, home: Path) -> None:
    vllm = FakeVllm()
    settings = Settings(
        home=home, evaluation_prompts=8, train_on=TrainOn.ELSEWHERE, train_launcher=launcher("slow"), votes=8
    )
    worker = Worker(live_store, settings, [vllm], FakeSampler(), FakeFacts())  # type: ignore[list-item]
    await worker.begin()
    judge_some(live_store)
    first = start_round(live_store, "dpo")
    assert first.id is not None
    turning = asyncio.create_task(worker.run_next_round())
    await until(lambda: training(live_store, first.id or 0), DEADLINE_S)
    attempt = training(live_store, first.id)
    assert attempt is not None
    os.kill(attempt.pid or 0, signal.SIGKILL)
    turn = await asyncio.wait_for(turning, DEADLINE_S)
    assert turn is not None
    assert turn.status == "failed"
    assert "killed (SIGKILL)" in turn.reasons[0]
    assert live_store.versions.published().version == "base"  # type: ignore[union-attr]
    assert [stage.status for stage in live_store.rounds.stages(first.id)] == ["done", "failed"]
    assert vllm.loaded == {}
    second = start_round(live_store, "dpo")
    (home / "rounds" / f"{second.id:04d}").mkdir(parents=True)
    (home / "rounds" / f"{second.id:04d}" / "go").touch()
    turn = await worker.run_next_round()
    assert turn is not None
    assert turn.status == "held", turn.reasons


@pytest.mark.slow
async def test_a_worker_killed_in_training_takes_its_child_along_and_another_finishes(
    live_store: Store, database: str, home: Path
) -> None:
    async with fake_server(FakeVllm()) as url:
        async with worker_process(database, home, url, "slow") as first:
            await until(lambda: live_store.versions.published(), DEADLINE_S)
            judge_some(live_store)
            turn = start_round(live_store, "dpo")
            assert turn.id is not None
            await until(lambda: training(live_store, turn.id or 0), DEADLINE_S)
            left = training(live_store, turn.id)
            assert left is not None
            first.kill()
            await first.wait()
        await until(lambda: not alive(left.pid), 10)
        assert live_store.rounds.get(turn.id).status == "running"  # type: ignore[union-attr]
        async with worker_process(database, home, url, "quick"):
            after = await ended(live_store, turn.id, home)
    assert after.status == "held", after.reasons
    assert [attempt.status for attempt in attempts_of(live_store, turn.id)] == ["abandoned", "done"]
    assert after.version == "policy-0001"
    assert live_store.judgements.counts()["total"] == 10


def steps_of(store: Store, attempt: Attempt) -> list[tuple[int, int]]:
    """(number, step) of an attempt's records."""
    return [(row.number, row.record["step"]) for row in store.rounds.progress(attempt.id)]


def resumed(attempt: Attempt) -> str | None:
    """The folder that an attempt was told to go on from."""
    found: str | None = json.loads((Path(attempt.folder) / "spec.json").read_text())["resume"]
    return found


@pytest.mark.slow
async def test_a_killed_training_with_a_checkpoint_goes_on_in_a_folder_of_its_own(
    live_store: Store, home: Path
) -> None:
    turn = await turned(live_store, home, "falls")
    assert turn.status == "held", turn.reasons
    first, second = attempts_of(live_store, turn.id or 0)
    assert (first.status, second.status) == ("failed", "done")
    assert (resumed(first), resumed(second)) == (None, first.folder)
    assert steps_of(live_store, first) == [(1, 1), (2, 2)]
    assert steps_of(live_store, second) == [(number, number) for number in range(1, 7)]
    assert read_manifest(Path(second.folder)).metrics["resumed_at"] == 2
    assert not any(holds_one(Path(attempt.folder)) for attempt in (first, second))


@pytest.mark.slow
async def test_a_training_that_is_killed_again_and_again_ends_as_a_reason(live_store: Store, home: Path) -> None:
    turn = await turned(live_store, home, "falls-always")
    assert turn.status == "failed"
    assert "killed (SIGKILL)" in turn.reasons[0]
    attempts = attempts_of(live_store, turn.id or 0)
    assert [attempt.status for attempt in attempts] == ["failed"] * 3
    assert [resumed(attempt) for attempt in attempts] == [None, attempts[0].folder, attempts[1].folder]
    assert not any(holds_one(Path(attempt.folder)) for attempt in attempts)


@pytest.mark.slow
async def test_the_attempt_of_a_worker_that_died_is_continued_by_the_next_one(
    live_store: Store, database: str, home: Path
) -> None:
    async with fake_server(FakeVllm()) as url:
        async with worker_process(database, home, url, "slow-steps") as first:
            await until(lambda: live_store.versions.published(), DEADLINE_S)
            judge_some(live_store)
            turn = start_round(live_store, "dpo")
            assert turn.id is not None
            await until(lambda: training(live_store, turn.id or 0), DEADLINE_S)
            first.kill()
            await first.wait()
        (left,) = attempts_of(live_store, turn.id)
        await until(lambda: not alive(left.pid), 10)
        (Path(left.folder).parent / "go").touch()
        async with worker_process(database, home, url, "slow-steps"):
            after = await ended(live_store, turn.id, home)
    assert after.status == "held", after.reasons
    _, second = attempts_of(live_store, turn.id)
    assert resumed(second) == left.folder
    numbers = steps_of(live_store, second)
    assert len(numbers) > 1
    assert numbers == [(number, number) for number in range(1, len(numbers) + 1)]
    assert not holds_one(Path(left.folder))


async def turned(store: Store, home: Path, mode: str) -> Round:
    """A round on ten comparisons by a worker in this process."""
    settings = Settings(
        home=home, evaluation_prompts=8, train_on=TrainOn.ELSEWHERE, train_launcher=launcher(mode), votes=8
    )
    worker = Worker(store, settings, [FakeVllm()], FakeSampler(), FakeFacts())  # type: ignore[list-item]
    await worker.begin()
    judge_some(store)
    start_round(store, "dpo")
    turn = await asyncio.wait_for(worker.run_next_round(), DEADLINE_S)
    assert turn is not None
    return turn


@pytest.mark.slow
async def test_a_worker_killed_in_the_evaluation_trains_nothing_twice(
    live_store: Store, database: str, home: Path
) -> None:
    vllm = FakeVllm()
    async with fake_server(vllm) as url:
        (home / "wait").touch()
        async with worker_process(database, home, url, "quick") as first:
            await until(lambda: live_store.versions.published(), DEADLINE_S)
            judge_some(live_store)
            turn = start_round(live_store, "dpo")
            assert turn.id is not None
            await until((home / "asked").exists, DEADLINE_S)
            first.kill()
            await first.wait()
        (home / "wait").unlink()
        vllm.loaded.clear()  # and vLLM was started again meanwhile
        async with worker_process(database, home, url, "quick"):
            after = await ended(live_store, turn.id, home)
    assert after.status == "held", after.reasons
    assert len(attempts_of(live_store, turn.id)) == 1
    assert [version.name for version in live_store.versions.listing()] == ["base", "policy-0001"]
    assert "policy-0001" in vllm.versions


class Everything:
    """A worker on a real tiny model: training is TRL's, vLLM is not."""

    def __init__(self, store: Store, home: Path, model: Path) -> None:
        self.store = store
        settings = Settings(home=home, model=str(model), evaluation_prompts=8, train_on=TrainOn.BESIDE, votes=8)
        self.vllm = FakeVllm()
        self.worker = Worker(store, settings, [self.vllm], FakeSampler(), FakeFacts())  # type: ignore[list-item]

    async def turn(self, **settings: Any) -> Round:
        """One round with these training settings."""
        await self.worker.begin()
        judge_some(self.store)
        start_round(self.store, "dpo", settings={"epochs": 2, **settings})
        turn = await self.worker.run_next_round()
        assert turn is not None
        return turn


@pytest.fixture
def everything(live_store: Store, home: Path, tmp_path: Path) -> Callable[[], Everything]:
    """Makes the worker."""
    return lambda: Everything(live_store, home, make_tiny_model(tmp_path / "model"))


@pytest.mark.slow
async def test_a_real_training_becomes_a_version(everything: Callable[[], Everything], live_store: Store) -> None:
    turn = await everything().turn()
    assert turn.status == "held", turn.reasons
    version = live_store.versions.get(turn.version or "")
    assert version is not None
    files = set(os.listdir(version.path))
    assert {"adapter_model.safetensors", "adapter_config.json", "manifest.json", "COMPLETE"} <= files
    progress = live_store.rounds.progress(attempts_of(live_store, turn.id or 0)[0].id)
    assert any("loss" in record.record for record in progress)


@pytest.mark.slow
async def test_a_real_loss_that_is_no_number_fails_the_round(
    everything: Callable[[], Everything], live_store: Store
) -> None:
    turn = await everything().turn(rate=1e30, dtype="fp32")
    assert turn.status == "failed"
    assert "loss" in turn.reasons[0] or "finite" in turn.reasons[0]
    assert live_store.versions.published().version == "base"  # type: ignore[union-attr]
    assert len(live_store.versions.listing()) == 1
