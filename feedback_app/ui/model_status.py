"""Whether the model can answer now: asked at most once a second for all pages together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from feedback_app.heartbeat import VLLM, Life, last, life
from feedback_app.parts import Parts

FRESH_S = 1.0


@dataclass(frozen=True)
class ModelState:
    """What vLLM's owner says of it: `name` is starting, ready, restarting, stopped, failed, paused or unreachable.

    `since` is in seconds since 1970, None where nobody knows; `detail` is the last line of its log.
    """

    name: str = "starting"
    since: float | None = None
    detail: str = ""

    @property
    def ready(self) -> bool:
        """Whether it can answer now."""
        return self.name == "ready"


class ModelWatch:
    """The state of vLLM as the pages show it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._state = ModelState()
        self._asked_at = float("-inf")
        self._away_since: float | None = None
        self._lock = asyncio.Lock()

    async def state(self) -> ModelState:
        """Ready, or what vLLM's owner says of it."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if now - self._asked_at >= FRESH_S:
                self._state = await self._ask()
                self._asked_at = asyncio.get_running_loop().time()
            return self._state

    async def _ask(self) -> ModelState:
        if await self._parts.vllm.health():
            published = await asyncio.to_thread(self._parts.store.versions.published)
            if published is not None:
                self._away_since = None
                return ModelState("ready")
        said = await asyncio.to_thread(self._beat)
        if self._away_since is None:
            self._away_since = self._parts.store.now()
        since, name = said.get("since"), str(said.get("name") or "ready")
        return ModelState(
            "starting" if name == "ready" else name,  # it says ready, yet does not answer, or serves no version yet
            float(since) if isinstance(since, int | float) else self._away_since,
            str(said.get("detail") or ""),
        )

    def _beat(self) -> Mapping[str, Any]:
        beat = last(self._parts.store, VLLM)
        if beat is None or life(beat, self._parts.store.now()) is Life.STOPPED:
            return {}  # what a supervisor said that is gone is no news
        return beat.state
