"""The rest of OpenAI's addresses: refused in OpenAI's shape, in one sentence that says what to use instead.

Without this, a client that asks for embeddings gets a page, and shows whoever runs it a parser's complaint.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from fastapi import APIRouter, Request, Response

from feedback_app.api.keys import person_of_request
from feedback_app.api.openai_errors import OpenAIRoute
from feedback_app.errors import NotFound
from feedback_app.store.database import Store

OFFERED = "GET /v1/models, POST /v1/chat/completions, POST /v1/completions and POST /v1/feedback"
TEXT_ONLY = "Answers are text: send messages to POST /v1/chat/completions."
MESSAGES = "Send the conversation as messages to POST /v1/chat/completions."
INSTEAD: Mapping[str, str] = {
    "embeddings": "The model that is served writes answers and gives no embeddings: ask a server of embedding models.",
    "responses": MESSAGES,
    "conversations": MESSAGES,
    "assistants": MESSAGES,
    "threads": MESSAGES,
    "audio": TEXT_ONLY,
    "images": TEXT_ONLY,
    "videos": TEXT_ONLY,
    "realtime": TEXT_ONLY,
    "batches": "Send the requests one by one to POST /v1/chat/completions.",
    "moderations": "Ask a server of moderation models.",
    "files": "Bring feedback with `alignloop import FILE`.",
    "uploads": "Bring feedback with `alignloop import FILE`.",
    "fine_tuning": "Bring feedback with `alignloop import FILE` and train with `alignloop round start`.",
}


def instead_of(path: str) -> str:
    """What to use in place of a path below /v1, in a sentence."""
    return INSTEAD.get(path.split("/", 1)[0], f"Here are {OFFERED}.")


def build_not_offered(store: Store) -> APIRouter:
    """The routes, to be included after every other below /v1."""
    router = APIRouter(route_class=OpenAIRoute)

    @router.api_route("/v1", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    @router.api_route("/v1/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    async def not_offered(request: Request, path: str = "") -> Response:
        # As everywhere below /v1 the key comes first, so that a client with a wrong one hears of that.
        await asyncio.to_thread(person_of_request, store, request.headers.get("authorization"))
        raise NotFound(f"{request.method} /v1/{path[:80]} is not offered here. {instead_of(path)}")

    return router
