"""Who may reach what, for every request before anything else sees it: pages, Gradio's own routes and raw POSTs.

Gradio guards only some of its routes, answers any Origin, and cannot tell one page's callers from another's;
so the whole of each mount is guarded here, by path. The HTTP door has keys of its own and is let through.
What is not done here: the rules of passwords and sessions (`collect.people`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from feedback_app.api.plain import refusal_page
from feedback_app.collect.people import person_of_token
from feedback_app.domain.people import Role
from feedback_app.errors import AlignloopError
from feedback_app.store.database import Store

if TYPE_CHECKING:
    from feedback_app.store.tables import Person

log = logging.getLogger(__name__)

COOKIE = "alignloop"
DEVICE_COOKIE = "alignloop_device"  # outlives the session: which people have signed in in this browser
OPEN = ("/sign-in", "/theme.css", "/favicon.svg", "/healthz", "/readyz", "/v1")
ROLES: Mapping[str, Role] = {
    "/compare": Role.ANNOTATOR,
    "/rank": Role.ANNOTATOR,
    "/operate": Role.OPERATOR,
    "/lineage/version": Role.OPERATOR,  # these name people; `/lineage` alone is one's own
    "/lineage/person": Role.OPERATOR,
    "/lineage/find": Role.OPERATOR,
}
SAFE = ("GET", "HEAD", "OPTIONS")
# Gradio's pages need inline scripts and evaluated code; everything else stays on this host, so nothing that a
# page, a bundle or a model's answer names is ever asked for elsewhere.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)


def under(path: str, prefix: str) -> bool:
    """Whether `path` is the prefix itself or lies below it."""
    return path == prefix or path.startswith(prefix + "/")


def needed_role(path: str) -> Role:
    """The role that a path asks for."""
    return next((role for prefix, role in ROLES.items() if under(path, prefix)), Role.CHATTER)


def token_of(headers: Headers, name: str = COOKIE) -> str | None:
    """The token in the cookie of this name, by default the session's, if there is one."""
    try:
        cookie = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return None
    return cookie[name].value if name in cookie else None


def foreign(headers: Headers) -> bool:
    """Whether a browser sent this from another site's page. Programs send neither header and hold no cookie jar."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    try:
        return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
    except ValueError:  # no address at all
        return True


def signed_in(request: Request) -> Person:
    """Whom the guard let through to this request."""
    person: Person = request.scope["alignloop.person"]
    return person


class Guard:
    """ASGI middleware: puts the signed-in person into the scope as `alignloop.person`, or refuses."""

    def __init__(self, app: ASGIApp, store: Store) -> None:
        self._app = app
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing of ours speaks WebSocket
            await send({"type": "websocket.close", "code": 1008})
            return
        refusal = await self._refusal(scope)
        await (refusal or self._app)(scope, receive, _hardened(send))

    async def _refusal(self, scope: Scope) -> Response | None:
        headers, path, method = Headers(scope=scope), str(scope["path"]), str(scope["method"])
        if under(path, "/v1"):
            return None
        if method not in SAFE and foreign(headers):
            return JSONResponse({"error": "This request came from another site's page and was refused."}, 403)
        token = token_of(headers)
        opened = any(under(path, prefix) for prefix in OPEN)
        person = None
        try:
            person = await asyncio.to_thread(person_of_token, self._store, token)
        except AlignloopError as error:  # the database is away: who asks cannot be known
            log.warning("%s", error)
            if not opened:
                return JSONResponse({"error": error.outside}, error.http_status)
        scope["alignloop.person"], scope["alignloop.token"] = person, token
        if opened:
            return None
        wants_page = method == "GET" and "text/html" in headers.get("accept", "")
        if person is None:
            if wants_page:
                query = scope.get("query_string", b"").decode("latin-1")
                back = quote(path + (f"?{query}" if query else ""), safe="")
                return RedirectResponse(f"/sign-in?next={back}", 303)
            return JSONResponse({"error": "You are not signed in. Sign in at /sign-in."}, 401)
        needed = needed_role(path)
        if not Role(person.role).reaches(needed):
            sentence = f"This page is for the role {needed}; {person.name} is {person.role}. Ask an operator for it."
            return refusal_page(sentence) if wants_page else JSONResponse({"error": sentence}, 403)
        return None


def _hardened(send: Send) -> Send:
    async def hardened(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name in [name for name in headers if name.lower().startswith("access-control-")]:
                del headers[name]
            headers.setdefault("Content-Security-Policy", POLICY)
            headers.setdefault("X-Content-Type-Options", "nosniff")
            headers.setdefault("Referrer-Policy", "same-origin")
            if headers.get("content-type", "").startswith("text/html"):
                headers["Cache-Control"] = "no-store"
        await send(message)

    return hardened
