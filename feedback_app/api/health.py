"""`/healthz`: this process lives. `/readyz`: an answer could be given now, or which part is missing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from feedback_app.collect.generate import not_loaded, served
from feedback_app.errors import AlignloopError
from feedback_app.store.database import Store
from serving.errors import ServingError

if TYPE_CHECKING:
    from serving.client import VllmClient


def build_health(*, store: Store, vllm: VllmClient) -> APIRouter:
    """Both routes; they need no key and tell no secrets."""
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> Response:
        return JSONResponse({"alive": True})

    @router.get("/readyz")
    async def readyz() -> Response:
        state = await readiness(store, vllm)
        return JSONResponse(state, 200 if state["ready"] else 503)

    return router


async def readiness(store: Store, vllm: VllmClient) -> dict[str, Any]:
    """`ready`, `version` (what `policy` means now) and `waiting_for`, a sentence while not ready."""
    try:
        target = await asyncio.to_thread(served, store)
    except AlignloopError as error:
        return {"ready": False, "version": None, "waiting_for": str(error)}
    name = target.version.name
    try:
        if not await vllm.health():
            return {"ready": False, "version": name, "waiting_for": "vLLM is starting or cannot be reached."}
        if target.model not in {model.name for model in await vllm.models()}:
            waiting_for = f"vLLM has not loaded {name} yet."
            if target.version.form == "full":
                waiting_for = str(not_loaded(target.version))
            return {"ready": False, "version": name, "waiting_for": waiting_for}
    except ServingError as error:
        return {"ready": False, "version": name, "waiting_for": str(error)}
    return {"ready": True, "version": name, "waiting_for": ""}
