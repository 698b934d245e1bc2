"""vLLM's supervision while the database is away: it goes on as it was."""

from __future__ import annotations

import asyncio

import pytest

from feedback_app.errors import Unavailable
from feedback_app.heartbeat import VLLM
from feedback_app.processes.run import engine_words, keep, supervise
from feedback_app.store.database import Store
from serving.supervise import VllmState


class Running:
    """A supervisor whose vLLM runs until it is stopped."""

    def __init__(self) -> None:
        self.began = 0
        self.stopped = asyncio.Event()

    async def run(self) -> None:
        self.began += 1
        self.stopped.clear()
        await self.stopped.wait()

    async def stop(self, grace_s: float) -> None:
        self.stopped.set()

    def state(self) -> VllmState:
        return VllmState("stopped" if self.stopped.is_set() else "ready", 0.0)


async def until(condition: object) -> None:
    async with asyncio.timeout(10):
        while not condition():  # type: ignore[operator]  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_database_that_is_away_neither_ends_nor_stops_vllm(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feedback_app.processes.run.LOOK_S", 0.01)
    supervisor, looks, plain = Running(), 0, sqlite_store.heartbeats.all

    def away() -> object:
        nonlocal looks
        looks += 1
        raise Unavailable("The database does not work.")

    monkeypatch.setattr(sqlite_store.heartbeats, "all", away)
    keeping = asyncio.create_task(keep(supervisor, sqlite_store))  # type: ignore[arg-type]
    await until(lambda: looks >= 5)
    assert not keeping.done()
    assert supervisor.began == 1
    monkeypatch.setattr(sqlite_store.heartbeats, "all", plain)
    sqlite_store.heartbeats.beat("vllm-wanted", {"state": "stopped", "round": 1})
    await until(supervisor.stopped.is_set)
    monkeypatch.setattr(sqlite_store.heartbeats, "all", away)  # stopped for a training, it stays so
    looks = 0
    await until(lambda: looks >= 5)
    assert supervisor.began == 1
    monkeypatch.setattr(sqlite_store.heartbeats, "all", plain)
    sqlite_store.heartbeats.beat("vllm-wanted", {"state": "running", "round": 1})
    await until(lambda: supervisor.began == 2)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


async def test_the_last_word_of_a_supervisor_is_how_vllm_ended(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping = asyncio.Event()
    monkeypatch.setattr("feedback_app.processes.run.stop_event", lambda: stopping)
    supervising = asyncio.create_task(supervise(Running(), sqlite_store, "cpu"))  # type: ignore[arg-type]
    await until(
        lambda: [beat.state["name"] for beat in sqlite_store.heartbeats.all() if beat.name == VLLM] == ["ready"]
    )
    stopping.set()
    await supervising
    (beat,) = sqlite_store.heartbeats.all()
    assert beat.state["name"] == "stopped"


@pytest.mark.parametrize(
    ("arguments", "dtype"),
    [
        ([], "bfloat16"),
        (["--seed", "0"], "bfloat16"),
        (["--dtype", "float32"], "float32"),
        (["--dtype=float32", "--seed", "0"], "float32"),
    ],
)
def test_what_vllm_computes_with_is_said_whatever_its_arguments(arguments: list[str], dtype: str) -> None:
    assert engine_words(arguments, "bfloat16").split()[-1] == dtype
