"""Draining waits for the last running request of a version."""

from __future__ import annotations

import asyncio

from serving.inflight import InFlight


async def test_draining_waits_for_the_last_request() -> None:
    inflight, let_go = InFlight(), asyncio.Event()

    async def request() -> None:
        with inflight.request("policy-0001"):
            await let_go.wait()

    tasks = [asyncio.create_task(request()) for _ in range(2)]
    await asyncio.sleep(0)
    assert inflight.counts() == {"policy-0001": 2}
    assert not await inflight.drained("policy-0001", 0.01)
    assert await inflight.drained("policy-0002", 0.01)
    waiting = asyncio.create_task(inflight.drained("policy-0001", 5))
    let_go.set()
    assert await waiting
    await asyncio.gather(*tasks)
    assert inflight.counts() == {}


async def test_a_request_that_fails_is_not_counted_for_ever() -> None:
    inflight = InFlight()
    try:
        with inflight.request("a"):
            raise ValueError
    except ValueError:
        pass
    assert inflight.counts() == {}
