"""`/healthz`: this process lives. `/readyz`: an answer could be given and stored now, or which part is missing."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from feedback_app.collect.generate import served
from feedback_app.errors import AlignloopError
from feedback_app.store.database import Store
from serving.errors import ServingError

if TYPE_CHECKING:
    from serving.client import VllmClient


PROBE = "probe:written"  # a beat of its own; a colon keeps it out of what `alignloop status` lists
PROBE_EVERY_S = 3.0
PROBE_BYTES = 16 * 2**10  # about an answer with its question: less may still fit into a log that cannot grow any more


@dataclass
class WriteProbe:
    """Whether something can be stored now: a real commit, at most every few seconds however often it is asked."""

    store: Store
    _asked: float = float("-inf")
    _said: str = ""

    def refusal(self) -> str:
        """Why nothing can be stored, a sentence; empty while it can. Synchronous."""
        if time.monotonic() - self._asked >= PROBE_EVERY_S:
            self._asked = time.monotonic()
            try:
                self.store.reservations.check_room()
                self.store.beats.beat(PROBE, {"written": secrets.token_hex(PROBE_BYTES // 2)})
                self._said = ""
            except AlignloopError as error:
                self._said = str(error)
        return self._said


def build_health(*, store: Store, vllm: VllmClient) -> APIRouter:
    """Both routes; they need no key and tell no secrets."""
    router = APIRouter()
    probe = WriteProbe(store)

    @router.get("/healthz")
    async def healthz() -> Response:
        return JSONResponse({"alive": True})

    @router.get("/readyz")
    async def readyz() -> Response:
        state = await readiness(store, vllm, probe)
        return JSONResponse(state, 200 if state["ready"] else 503)

    return router


async def readiness(store: Store, vllm: VllmClient, probe: WriteProbe) -> dict[str, Any]:
    """`ready`, `version` (what `policy` means now) and `waiting_for`, a sentence while not ready."""
    try:
        target = await asyncio.to_thread(served, store)
    except AlignloopError as error:
        return {"ready": False, "version": None, "waiting_for": str(error)}
    name = target.version.name
    if refusal := await asyncio.to_thread(probe.refusal):
        return {"ready": False, "version": name, "waiting_for": f"Nothing can be stored. {refusal}"}
    try:
        if not await vllm.health():
            return {"ready": False, "version": name, "waiting_for": "vLLM is starting or cannot be reached."}
        if target.model not in {model.name for model in await vllm.models()}:
            return {"ready": False, "version": name, "waiting_for": f"vLLM has not loaded {name} yet."}
    except ServingError as error:
        return {"ready": False, "version": name, "waiting_for": str(error)}
    return {"ready": True, "version": name, "waiting_for": ""}
