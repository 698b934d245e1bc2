"""How many requests each version is answering right now: a version that answers somebody is not unloaded.

Counts only this process's own requests; nothing is stored.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator


class InFlight:
    """A count of running requests per version's name. Use from one event loop."""

    def __init__(self) -> None:
        self._running: Counter[str] = Counter()

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

    def counts(self) -> dict[str, int]:
        """Running requests per version; versions without any are absent."""
        return dict(self._running)
