"""One person with all they may ask for at once, and another who says hello: a real app process, a real vLLM."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from tests.serving.real import real_vllm
from tests.serving.real_app import NAMES, SHIPPED, RealApp, real_app

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1200)]
REQUESTS, CHOICES, LONGEST = 64, 16, 900
ADDED_S = 3.0
NEVER_ENDS = {"2": -100}  # the embedded model's end token


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealApp]:
    folder = tmp_path_factory.mktemp("fair")
    with (
        real_vllm(SHIPPED, folder, served_names=NAMES) as vllm,
        real_app(vllm.url, folder, ["greedy", "ben"]) as running,
    ):
        yield running


async def first_token_s(session: aiohttp.ClientSession, app: RealApp, number: int) -> float:
    """Seconds from a short question of ben's to the first word of its answer."""
    body = {
        "model": "policy",
        "messages": [{"role": "user", "content": f"Hello, how are you today? ({number})"}],
        "max_tokens": 16,
        "stream": True,
    }
    began = time.perf_counter()
    async with session.post(f"{app.url}/v1/chat/completions", json=body, headers=_key(app, "ben")) as reply:
        assert reply.status == 200, await reply.text()
        first = None
        async for line in reply.content:
            if first is None and b'"content":"' in line and b'"content":""' not in line:
                first = time.perf_counter() - began
        assert first is not None
        return first


def _key(app: RealApp, name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {app.keys[name]}"}


async def greedy(session: aiohttp.ClientSession, app: RealApp, number: int) -> int:
    body: dict[str, Any] = {
        "model": "policy",
        "messages": [{"role": "user", "content": f"{number} " + "Tell me all you know about cats and dogs. " * 12}],
        "n": CHOICES,
        "max_tokens": LONGEST,
        "logit_bias": NEVER_ENDS,
    }
    async with session.post(f"{app.url}/v1/chat/completions", json=body, headers=_key(app, "greedy")) as reply:
        await reply.read()
        return reply.status


async def test_64_requests_of_16_long_answers_add_little_to_anothers_first_token(
    app: RealApp, capsys: pytest.CaptureFixture[str]
) -> None:
    timeout = aiohttp.ClientTimeout(total=300)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        await first_token_s(session, app, 0)  # the first request of all warms what is lazy
        quiet = [await first_token_s(session, app, number) for number in range(10)]
        crowd = [asyncio.create_task(greedy(session, app, number)) for number in range(REQUESTS)]
        # Until vLLM writes what it was given: the wait is for the load to be there, not for luck.
        await asyncio.sleep(5)
        assert not any(task.done() for task in crowd), "the load had ended before anything was measured"
        busy = [await first_token_s(session, app, 100 + number) for number in range(10)]
        still = sum(not task.done() for task in crowd)
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
        # Who left left nothing behind: the machine is as quiet as before.
        async with asyncio.timeout(60):
            while (again := await first_token_s(session, app, 200)) > max(quiet) + 0.5:
                pass
    with capsys.disabled():
        print(
            f"\nfirst token, quiet: median {statistics.median(quiet):.2f} s, longest {max(quiet):.2f} s; beside "
            f"{REQUESTS} requests of {CHOICES} answers ({still} still there at the end): median "
            f"{statistics.median(busy):.2f} s, longest {max(busy):.2f} s; after they left {again:.2f} s"
        )
    assert max(busy) - statistics.median(quiet) <= ADDED_S
    assert still > REQUESTS // 2, "the load was not there all the time"
