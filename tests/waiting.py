"""Waiting for what sets no event (another process, a row in a database): look again, until a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


async def until(condition: Callable[[], object], timeout_s: float = 60) -> None:
    """Return once `condition()` is true. Raises `TimeoutError` at the deadline."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def wait_until(condition: Callable[[], object], timeout_s: float = 60.0, what: str = "it") -> None:
    """`until` for tests without an event loop. Raises `AssertionError`, which names `what`, at the deadline."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s:.0f} s"
        time.sleep(0.02)
