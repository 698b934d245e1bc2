"""How many requests each version is answering right now, so that draining can wait for the last one.

Counts only this process's own requests; nothing is stored.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator


class InFlight:
    """A count of running requests per version's name. Use from one event loop."""

    def __init__(self) -> None:
        self._running: Counter[str] = Counter()
        self._changed = asyncio.Event()

    @contextlib.contextmanager
    def request(self, version: str) -> Iterator[None]:
        """Count one request for as long as the block runs."""
        self._running[version] += 1
        try:
            yield
        finally:
            self._running[version] -= 1
            if not self._running[version]:
                del self._running[version]
            self._changed.set()

    def counts(self) -> dict[str, int]:
        """Running requests per version; versions without any are absent."""
        return dict(self._running)

    async def drained(self, version: str, timeout_s: float) -> bool:
        """Wait until no request of this version runs; False when some still does after `timeout_s` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._running[version]:
                    self._changed.clear()
                    await self._changed.wait()
        return not self._running[version]
