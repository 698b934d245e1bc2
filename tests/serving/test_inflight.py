"""A version counts as answering until its last request has ended."""

from __future__ import annotations

import asyncio

from serving.inflight import InFlight


async def test_a_version_answers_until_its_last_request_has_ended() -> None:
    inflight, let_go = InFlight(), asyncio.Event()

    async def request() -> None:
        with inflight.request("policy-0001"):
            await let_go.wait()

    tasks = [asyncio.create_task(request()) for _ in range(2)]
    await asyncio.sleep(0)
    assert inflight.counts() == {"policy-0001": 2}
    tasks.pop().cancel()
    await asyncio.sleep(0)
    assert inflight.counts() == {"policy-0001": 1}
    let_go.set()
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
