"""Whether the model can answer now: asked at most once a second for all pages together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from feedback_app.heartbeat import VLLM, Life, last, life
from feedback_app.parts import Parts

FRESH_S = 1.0


class ModelWatch:
    """The state of vLLM as the pages show it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._state: Mapping[str, Any] = {"name": "starting"}
        self._asked_at = float("-inf")
        self._away_since: float | None = None
        self._lock = asyncio.Lock()

    async def state(self) -> Mapping[str, Any]:
        """`name` is ready, or what vLLM's owner says of it, with `since` and `detail` where known."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if now - self._asked_at >= FRESH_S:
                self._state = await self._ask()
                self._asked_at = asyncio.get_running_loop().time()
            return self._state

    async def _ask(self) -> Mapping[str, Any]:
        if await self._parts.vllm.health():
            published = await asyncio.to_thread(self._parts.store.versions.published)
            if published is not None:
                self._away_since = None
                return {"name": "ready"}
        said = await asyncio.to_thread(self._beat)
        if self._away_since is None:
            self._away_since = self._parts.store.now()
        said.setdefault("since", self._away_since)
        if said.get("name", "ready") == "ready":  # it says ready, yet does not answer, or serves no version yet
            said["name"] = "starting"
        return said

    def _beat(self) -> dict[str, Any]:
        beat = last(self._parts.store, VLLM)
        if beat is None or life(beat, self._parts.store.now()) is Life.STOPPED:
            return {}  # what a supervisor said that is gone is no news
        return dict(beat.state)
