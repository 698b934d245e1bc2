"""`/healthz`: this process lives. `/readyz`: an answer could be given and stored now, or which part is missing."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from feedback_app.api.keys import person_of_request
from feedback_app.collect.generate import not_loaded, served
from feedback_app.domain.people import Role
from feedback_app.domain.versions import VersionForm
from feedback_app.errors import AlignloopError, Unavailable
from feedback_app.store.database import Store
from serving.errors import ServingError

if TYPE_CHECKING:
    from serving.client import VllmClient


AWAY = "vLLM is starting or cannot be reached."
PROBE = "probe:written"  # a beat of its own; a colon keeps it out of what `alignloop status` lists
PROBE_EVERY_S = 3.0
PROBE_BYTES = 16 * 2**10  # about an answer with its question: less may still fit into a log that cannot grow any more


@dataclass
class WriteProbe:
    """Whether something can be stored now: a real commit, at most every few seconds however often it is asked."""

    store: Store
    _asked: float = float("-inf")
    _refused: AlignloopError | None = None

    def look(self) -> None:
        """Raise `Unavailable` with the reason when nothing can be stored. Synchronous."""
        if time.monotonic() - self._asked >= PROBE_EVERY_S:
            self._asked, self._refused = time.monotonic(), None
            try:
                self.store.reservations.check_room()
                self.store.heartbeats.beat(PROBE, {"written": secrets.token_hex(PROBE_BYTES // 2)})
            except AlignloopError as error:
                said = "Nothing can be stored."
                self._refused = Unavailable(f"{said} {error}", f"{said} {error.outside}")
        if self._refused is not None:
            raise self._refused


def build_health(*, store: Store, vllm: VllmClient) -> APIRouter:
    """Both routes; they need no key, and tell only operators more than which part is missing."""
    router = APIRouter()
    probe = WriteProbe(store)

    @router.get("/healthz")
    async def healthz() -> Response:
        return JSONResponse({"alive": True})

    @router.get("/readyz")
    async def readyz(request: Request) -> Response:
        state = await readiness(store, vllm, probe)
        if not await asyncio.to_thread(by_operator, store, request):
            del state["detail"]
        return JSONResponse(state, 200 if state["ready"] else 503)

    return router


async def readiness(store: Store, vllm: VllmClient, probe: WriteProbe) -> dict[str, Any]:
    """`ready`, `version` (what `policy` means now) and `waiting_for`, a sentence while not ready.

    `detail` is for whoever runs this: it may hold addresses, paths and the words of an error.
    """
    name: str | None = None
    try:
        target = await asyncio.to_thread(served, store)
        name = target.version.name
        await asyncio.to_thread(probe.look)
        if not await vllm.health():
            return _waiting(name, AWAY, f"Nothing answers at {vllm.base_url}.")
        if target.model not in {model.name for model in await vllm.models()}:
            waiting_for, where = f"vLLM has not loaded {name} yet.", f"It is asked at {vllm.base_url}."
            if target.version.form == VersionForm.FULL:
                waiting_for = str(not_loaded(target.version))
            return _waiting(name, waiting_for, where)
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
