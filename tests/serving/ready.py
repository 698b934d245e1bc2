"""Waiting until a supervised vLLM answers."""

from __future__ import annotations

from serving.supervise import Supervisor
from tests.waiting import until


async def wait_ready(supervisor: Supervisor, timeout_s: float) -> None:
    """Return once it is ready. Raises `AssertionError` with its last words when it fails, `TimeoutError` when late."""
    await until(lambda: supervisor.state().name in ("ready", "failed"), timeout_s)
    assert supervisor.state().name == "ready", supervisor.state().detail
