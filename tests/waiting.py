"""Waiting for what sets no event (another process, a row in a database): look again, until a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], timeout_s: float = 15) -> None:
    """Return once `condition()` is true. Raises `TimeoutError` at the deadline."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
