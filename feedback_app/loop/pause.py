"""Asking whoever supervises vLLM to stop it while a training needs the accelerator.

The worker says so in a beat and keeps saying it; the process that owns vLLM looks (`is_paused`) and stops
or starts it. For a worker that has stopped (`feedback_app.heartbeat`) nothing stays paused: vLLM comes back by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from feedback_app.errors import RoundFailed
from feedback_app.heartbeat import Heart, Life, last, life
from feedback_app.store.database import Store

BEAT = "vllm-wanted"


def is_paused(store: Store) -> bool:
    """Whether vLLM should be down now. For the process that supervises it; look every second or two."""
    beat = last(store, BEAT)
    return beat is not None and beat.state.get("state") == "stopped" and life(beat, store.now()) is not Life.STOPPED


@contextlib.asynccontextmanager
async def paused(
    store: Store,
    healthy: Callable[[], Awaitable[bool]],
    *,
    round_id: int,
    timeout_s: float = 120.0,
    poll_s: float = 0.5,
) -> AsyncIterator[None]:
    """Keep vLLM stopped inside the block. Raises `RoundFailed` when nobody stops it within `timeout_s`."""

    heart = Heart(store, BEAT, lambda: {"state": "stopped", "round": round_id})
    heart.start()
    try:
        try:
            async with asyncio.timeout(timeout_s):
                await _until_down(healthy, poll_s)
        except TimeoutError as error:
            raise RoundFailed(
                "vLLM was asked to pause for training and did not stop. ALIGNLOOP_TRAIN_ON=pause needs a vLLM that "
                "`alignloop up` or `alignloop serve` started; with another one use elsewhere or beside."
            ) from error
        yield
    finally:
        heart.end({"state": "running", "round": round_id})


async def _until_down(healthy: Callable[[], Awaitable[bool]], poll_s: float) -> None:
    while await healthy():  # noqa: ASYNC110 — another process stops it; there is no event to wait for
        await asyncio.sleep(poll_s)
