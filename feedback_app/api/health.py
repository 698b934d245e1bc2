"""`/healthz`: this process lives. `/readyz`: an answer could be given and stored now, or which part is missing."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

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
        shown = asdict(state)
        if not await asyncio.to_thread(by_operator, store, request):
            del shown["detail"]
        return JSONResponse(shown, 200 if state.ready else 503)

    return router


@dataclass(frozen=True)
class Readiness:
    """Whether answers are served. `version` is what `policy` means now; `waiting_for` is a sentence while not ready.

    `detail` is for whoever runs this: it may hold addresses, paths and the words of an error.
    """

    ready: bool
    version: str | None
    waiting_for: str = ""
    detail: str = ""


async def readiness(store: Store, vllm: VllmClient, probe: WriteProbe) -> Readiness:
    """What can be said now; raises nothing."""
    name: str | None = None
    try:
        target = await asyncio.to_thread(served, store)
        name = target.version.name
        await asyncio.to_thread(probe.look)
        if not await vllm.health():
            return Readiness(False, name, AWAY, f"Nothing answers at {vllm.base_url}.")
        if target.model not in {model.name for model in await vllm.models()}:
            waiting_for, where = f"vLLM has not loaded {name} yet.", f"It is asked at {vllm.base_url}."
            if target.version.form == VersionForm.FULL:
                waiting_for = str(not_loaded(target.version))
            return Readiness(False, name, waiting_for, where)
    except AlignloopError as error:
        return Readiness(False, name, error.outside, str(error))
    except ServingError as error:
        return Readiness(False, name, AWAY, str(error))
    return Readiness(True, name)


def by_operator(store: Store, request: Request) -> bool:
    """Whether an operator asks, by a session that the guard found or by a key. Synchronous; raises nothing."""
    person = request.scope.get("alignloop.person")
    if person is None and "authorization" in request.headers:
        with contextlib.suppress(AlignloopError):
            person = person_of_request(store, request.headers["authorization"])
    return person is not None and Role(person.role).reaches(Role.OPERATOR)
