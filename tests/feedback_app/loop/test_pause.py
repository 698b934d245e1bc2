"""Stopping vLLM for a training: asked for in the database, kept up while it lasts, never for ever."""

from __future__ import annotations

import pytest

from feedback_app.errors import RoundFailed
from feedback_app.heartbeat import STOPPED_S
from feedback_app.loop.pause import is_paused, paused
from feedback_app.store.database import Store
from tests.fakes import Clock


async def test_vllm_is_down_inside_the_block_and_wanted_again_after_it(sqlite_store: Store) -> None:
    looks: list[bool] = []

    async def healthy() -> bool:
        looks.append(is_paused(sqlite_store))
        return len(looks) < 3 or not looks[-1]  # it stops a moment after it was asked to

    assert not is_paused(sqlite_store)
    async with paused(sqlite_store, healthy, round_id=1, poll_s=0.01):
        assert is_paused(sqlite_store)
    assert not is_paused(sqlite_store)
    assert looks[-1]


async def test_vllm_is_wanted_again_when_the_training_fails(sqlite_store: Store) -> None:
    async def healthy() -> bool:
        return not is_paused(sqlite_store)

    with pytest.raises(RoundFailed, match="out of memory"):
        async with paused(sqlite_store, healthy, round_id=1, poll_s=0.01):
            raise RoundFailed("out of memory")
    assert not is_paused(sqlite_store)


async def test_a_vllm_that_nobody_stops_is_a_reason(sqlite_store: Store) -> None:
    async def healthy() -> bool:
        return True

    with pytest.raises(RoundFailed, match="did not stop"):
        async with paused(sqlite_store, healthy, round_id=1, timeout_s=0.05, poll_s=0.01):
            pytest.fail("training began beside a running vLLM")
    assert not is_paused(sqlite_store)


def test_a_worker_that_died_does_not_keep_vllm_down(sqlite_store: Store, clock: Clock) -> None:
    sqlite_store.heartbeats.beat("vllm-wanted", {"state": "stopped", "round": 1})
    assert is_paused(sqlite_store)
    clock.pass_s(STOPPED_S)
    assert not is_paused(sqlite_store)
