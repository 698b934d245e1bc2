"""A policy in training behind the fake vLLM: its names, its priority, and what stays loaded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from serving.errors import VllmError
from serving.rollouts import BEHIND_PEOPLE, VllmRollouts, forget, prefix
from tests.serving.asked import PROMPTS, Sampling
from tests.serving.fake_vllm import FakeVllm, running


@pytest.fixture
async def fake() -> AsyncIterator[FakeVllm]:
    async with running(FakeVllm()) as fake:
        yield fake


async def test_every_step_has_a_name_of_its_own_and_one_is_loaded_at_a_time(fake: FakeVllm, tmp_path: Path) -> None:
    fake.adapters["policy-0001"] = "/versions/policy-0001"
    rollouts = VllmRollouts(fake.url, tmp_path / "ppo-1")
    first = await asyncio.to_thread(rollouts.publish, tmp_path / "step-0", 0)
    assert set(fake.adapters) == {"policy-0001", first}
    second = await asyncio.to_thread(rollouts.publish, tmp_path / "step-1", 1)
    assert first != second
    assert fake.adapters == {"policy-0001": "/versions/policy-0001", second: str(tmp_path / "step-1")}
    samples = await asyncio.to_thread(rollouts.sample, second, PROMPTS[:2], Sampling())
    assert samples[1][0].text == f"{second} heard: question 1"
    await asyncio.to_thread(rollouts.close)
    assert set(fake.adapters) == {"policy-0001"}


async def test_rollouts_wait_behind_people_and_come_from_the_whole_distribution(fake: FakeVllm, tmp_path: Path) -> None:
    rollouts = VllmRollouts(fake.url, tmp_path / "ppo-1")
    await asyncio.to_thread(rollouts.sample, "base", PROMPTS[:3], Sampling())
    for raw in fake.requests:
        body = json.loads(raw)
        assert body["priority"] == BEHIND_PEOPLE > 0
        assert (body["top_p"], body["top_k"], body["repetition_penalty"]) == (1.0, -1, 1.0)
    await asyncio.to_thread(rollouts.close)


async def test_what_a_dead_attempt_left_is_unloaded_and_nothing_else(fake: FakeVllm, tmp_path: Path) -> None:
    dead, alive = tmp_path / "ppo-1", tmp_path / "ppo-2"
    left = await asyncio.to_thread(VllmRollouts(fake.url, dead).publish, tmp_path, 3)
    kept = await asyncio.to_thread(VllmRollouts(fake.url, alive).publish, tmp_path, 0)
    fake.adapters["policy-0001"] = "/versions/policy-0001"
    assert left.startswith(prefix(dead))
    await forget(fake.url, [dead])
    assert set(fake.adapters) == {kept, "policy-0001"}


async def test_an_adapter_that_vllm_cannot_read_is_its_error(fake: FakeVllm, tmp_path: Path) -> None:
    rollouts = VllmRollouts(fake.url, tmp_path)
    with pytest.raises(VllmError, match="cannot be found"):
        await asyncio.to_thread(rollouts.publish, tmp_path / "missing", 0)
    await asyncio.to_thread(rollouts.close)
