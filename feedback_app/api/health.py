"""`/healthz`: this process lives. `/readyz`: an answer could be given now, or which part is missing."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from feedback_app.api.keys import person_of_request
from feedback_app.collect.generate import served
from feedback_app.collect.people import Role
from feedback_app.errors import AlignloopError
from feedback_app.store.database import Store
from serving.errors import ServingError

if TYPE_CHECKING:
    from serving.client import VllmClient


AWAY = "vLLM is starting or cannot be reached."


def build_health(*, store: Store, vllm: VllmClient) -> APIRouter:
    """Both routes; they need no key, and tell only operators more than which part is missing."""
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> Response:
        return JSONResponse({"alive": True})

    @router.get("/readyz")
    async def readyz(request: Request) -> Response:
        state = await readiness(store, vllm)
        if not await asyncio.to_thread(by_operator, store, request):
            del state["detail"]
        return JSONResponse(state, 200 if state["ready"] else 503)

    return router


async def readiness(store: Store, vllm: VllmClient) -> dict[str, Any]:
    """`ready`, `version` (what `policy` means now) and `waiting_for`, a sentence while not ready.

    `detail` is for whoever runs this: it may hold addresses, paths and the words of an error.
    """
    name: str | None = None
    try:
        target = await asyncio.to_thread(served, store)
        name = target.version.name
        if not await vllm.health():
            return _waiting(name, AWAY, f"Nothing answers at {vllm.base_url}.")
        if target.model not in {model.name for model in await vllm.models()}:
            return _waiting(name, f"vLLM has not loaded {name} yet.", f"It is asked at {vllm.base_url}.")
    except AlignloopError as error:
        return _waiting(name, error.outside, str(error))
    except ServingError as error:
        return _waiting(name, AWAY, str(error))
    return {"ready": True, "version": name, "waiting_for": "", "detail": ""}


def by_operator(store: Store, request: Request) -> bool:
    """Whether an operator asks, by a session that the guard found or by a key. Synchronous; raises nothing."""
    person = request.scope.get("alignloop.person")
    if person is None and "authorization" in request.headers:
        with contextlib.suppress(AlignloopError):
            person = person_of_request(store, request.headers["authorization"])
    return person is not None and Role(person.role).reaches(Role.OPERATOR)


def _waiting(version: str | None, sentence: str, detail: str) -> dict[str, Any]:
    return {"ready": False, "version": version, "waiting_for": sentence, "detail": detail}
