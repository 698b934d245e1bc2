"""Which of Gradio's routes our pages use, and what they send there. Everything else of Gradio is not there.

A mount of Gradio brings some sixty routes: uploads into a temporary folder, a file server, a proxy, direct calls,
monitoring. Our pages need their document and assets, one function of one component, and a queue to listen on. So
this is a list of what is let through, below every page, and what the two calls carry is read before Gradio sees it:
an unknown component, function or session is refused with one sentence, where Gradio raises.

Who may call is `api.guard`'s to say, how large a call may be `api.limits`'s. Gradio is not imported here.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any, TypeGuard
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from feedback_app.api.json_body import read_json
from feedback_app.api.replayed import replayed
from feedback_app.errors import UsageError
from feedback_app.ui.acts import Malformed, read_act
from feedback_app.ui.mounts import UPLOADS, Calls

API = "/gradio_api/"
READABLE = re.compile(r"/|/config/?|/theme\.css|/favicon\.ico|/(assets|static|svelte)/.+|/gradio_api/app_id/?")
CALL, JOIN, LISTEN = "component_server", "queue/join", "queue/data"
SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")
DEEPEST, MOST_VALUES = 8, 4096
SEND = "Reload the page."


class OwnCalls:
    """ASGI middleware around the pages: lets through what our pages send, answers 404 or 400 to the rest.

    `pages` are the mounts by their path, "/" among them.
    """

    def __init__(self, app: ASGIApp, pages: Mapping[str, Calls], uploads: Mapping[str, int] = UPLOADS) -> None:
        self._app, self._pages, self._uploads = app, pages, uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        page, rest = self._split(str(scope["path"]))
        try:
            body = await self._read(self._pages[page], page, rest.rstrip("/"), scope, receive)
        except UsageError as error:
            await JSONResponse({"error": str(error)}, 400)(scope, receive, send)
            return
        except HTTPException as error:
            await JSONResponse({"error": error.detail}, error.status_code)(scope, receive, send)
            return
        except ClientDisconnect:
            return
        await self._pass(scope, receive if body is None else replayed(body, receive), send)

    def _split(self, path: str) -> tuple[str, str]:
        page = next((page for page in self._pages if page != "/" and (path + "/").startswith(page + "/")), "/")
        return page, path.removeprefix(page.rstrip("/")) or "/"

    async def _read(self, calls: Calls, page: str, rest: str, scope: Scope, receive: Receive) -> bytes | None:
        """The body to hand on, None where none is needed. Raises what the client is answered with."""
        method = scope["method"]
        if method in ("GET", "HEAD") and (READABLE.fullmatch(rest or "/") and _plain(rest)):
            return None
        if method == "GET" and rest == API + LISTEN:
            session = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[0]
            if session not in calls.sessions():
                raise HTTPException(404, f"This page is not known here (any more). {SEND}")
            return None
        if method == "POST" and rest == API + "upload" and page in self._uploads:
            return None
        if method == "POST" and rest in (API + CALL, API + JOIN):
            request = Request(scope, receive)
            if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
                raise HTTPException(415, "Only application/json is read here.")
            read = read_call if rest == API + CALL else read_join
            said = await asyncio.to_thread(read, calls, await request.body())
            return json.dumps(said).encode()
        raise HTTPException(404, "There is nothing here.")

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on. A stream that Gradio gives up because its session has gone just ends."""
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except RuntimeError as error:
            if not (started and isinstance(error.__cause__, HTTPException)):
                raise
            await send({"type": "http.response.body", "body": b""})


def read_call(calls: Calls, body: bytes) -> dict[str, Any]:
    """A call of a component's function. Raises `Malformed`, and `HTTPException` on one that is not there."""
    said = _object(body)
    component, name = said.get("component_id"), said.get("fn_name")
    if not _whole(component) or not isinstance(name, str) or name not in calls.functions.get(component, ()):
        raise HTTPException(404, f"This page has no such function. {SEND}")
    act = read_act(said.get("data"))
    if not isinstance(act.get("do"), str):
        raise Malformed(f"This call names no act. {SEND}")
    return {
        "data": act,
        "component_id": component,
        "fn_name": name,
        "session_hash": _session(said),
    }


def read_join(calls: Calls, body: bytes) -> dict[str, Any]:
    """A call of an event through the queue. Raises `Malformed`, and `HTTPException` on one that is not there."""
    said = _object(body)
    event, trigger, data, more = (said.get(key) for key in ("fn_index", "trigger_id", "data", "event_data"))
    if not _whole(event) or event not in calls.events:
        raise HTTPException(404, f"This page has no such event. {SEND}")
    if not (isinstance(data, list) and len(data) == calls.events[event]):
        raise Malformed(f"This event takes {calls.events[event]} values in data. {SEND}")
    if trigger is not None and not (_whole(trigger) and trigger in calls.functions):
        raise Malformed(f"trigger_id names no part of this page. {SEND}")
    return {
        "data": data,
        "event_data": None if more is None else read_act(more),
        "fn_index": event,
        "trigger_id": trigger,
        "session_hash": _session(said),
    }


def _object(body: bytes) -> dict[str, Any]:
    said = read_json(body, SEND, deepest=DEEPEST, most_values=MOST_VALUES)
    if not isinstance(said, dict):
        raise Malformed(f"The request's body is not a JSON object. {SEND}")
    return said


def _session(said: Mapping[str, Any]) -> str:
    session = said.get("session_hash")
    if not isinstance(session, str) or not SESSION.fullmatch(session):
        raise Malformed(f"session_hash must be 1 to 64 letters and digits. {SEND}")
    return session


def _whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _plain(rest: str) -> bool:
    """Whether a path names what it seems to: no way up, nothing that a file system reads otherwise."""
    return ".." not in rest and "\\" not in rest and "//" not in rest and rest.isprintable() and len(rest) < 512
