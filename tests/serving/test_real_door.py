"""OpenAI's client through the door to a real vLLM on another architecture, while versions are swapped under it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.bench.door import NAMES, Swaps, door_over, swap_under_load
from tests.serving.real import RealVllm, real_vllm

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
HELLO: Any = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def vllm(tiny_opt: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealVllm]:
    with real_vllm(tiny_opt, tmp_path_factory.mktemp("vllm"), served_names=NAMES) as real:
        yield real


async def test_answers_come_through_with_their_ticket_and_exact_tokens(vllm: RealVllm, tmp_path: Path) -> None:
    async with door_over(vllm.url, f"sqlite:///{tmp_path}/door.db") as door, door.openai() as client:
        raw = await client.chat.completions.with_raw_response.create(
            model="policy", messages=HELLO, max_tokens=12, temperature=0
        )
        reply = raw.parse()
        assert reply.usage is not None
        assert reply.model == raw.headers["x-alignloop-version"] == "base"
        streamed = await client.chat.completions.with_raw_response.create(
            model="policy", messages=HELLO, max_tokens=12, temperature=0, stream=True
        )
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in streamed.parse()])
        assert text == reply.choices[0].message.content
        for ticket_id in (raw.headers["x-alignloop-ticket"], streamed.headers["x-alignloop-ticket"]):
            found = await asyncio.to_thread(door.store.tasks.ticket, ticket_id)
            assert found is not None
            completion = await asyncio.to_thread(door.store.conversations.completion, found[0].order[0])
            assert completion is not None
            assert completion.completion_tokens == reply.usage.completion_tokens
            assert completion.prompt_tokens == reply.usage.prompt_tokens
            assert completion.finish_reason == reply.choices[0].finish_reason


async def test_a_stream_is_byte_for_byte_what_vllm_says_when_asked_directly(vllm: RealVllm, tmp_path: Path) -> None:
    own = re.compile(rb'"(id|created)":("[^"]*"|\d+)')
    async with (
        door_over(vllm.url, f"sqlite:///{tmp_path}/door.db") as door,
        httpx.AsyncClient(trust_env=False, timeout=60, headers={"Authorization": f"Bearer {door.key}"}) as client,
    ):
        for options in ({}, {"stream_options": {"include_usage": True}}, {"logprobs": True, "top_logprobs": 2}):
            # One token, because vLLM joins several into one event as time allows.
            body = {"messages": HELLO, "max_tokens": 1, "temperature": 0, "stream": True, **options}
            said = [
                own.sub(b"", (await client.post(f"{url}/v1/chat/completions", json={**body, "model": model})).content)
                for url, model in ((vllm.url, "base"), (door.url, "policy"))
            ]
            assert said[0] == said[1]
            assert said[0].endswith(b"data: [DONE]\n\n")


async def test_no_request_fails_while_adapters_are_swapped(
    vllm: RealVllm, adapter: Callable[[Path, int], Path], tmp_path: Path
) -> None:
    async with door_over(vllm.url, f"sqlite:///{tmp_path}/door.db") as door:
        adapters = [adapter(vllm.model, seed) for seed in range(1, 4)]
        swaps: Swaps = await swap_under_load(door, adapters, swaps=5, concurrency=4, max_tokens=16)
    assert swaps.failed == 0
    assert swaps.versions_seen >= 5
    assert swaps.requests > 5
