"""How large a request's body may be, by route: ASGI middleware outside everything else.

A body is counted as it arrives, whether its length was announced or not, and is held here until it is whole: nothing
parses it, and nothing of it touches a disk, before it is known to be small enough. Whoever has no account may send
`STRANGERS` bytes; who asks is looked up before more is read. What a body means is for the routes to check, and how
slowly it may come for `api.slow_clients`. Of bodies larger than a stranger's, one person's together hold at most
`OF_ONE` bytes here and all people's `OF_ALL`, and always room for `LARGEST_AT_ONCE` of the largest each.

    no body, or a small one ──────────────────────────► the app
    announced too large ────────────────► 413
    larger than a stranger's ── who asks? ► 401
    grows too large ────────────────────► 413
    others of theirs hold too much ─────► 429
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from feedback_app.api.guard import token_of, under
from feedback_app.api.keys import person_of_request
from feedback_app.api.openai_errors import error_response
from feedback_app.api.replayed import replayed
from feedback_app.collect.people import person_of_token
from feedback_app.errors import AlignloopError, NotSignedIn, TooMany, UsageError
from feedback_app.store.database import Store
from feedback_app.ui.mounts import LARGEST_FILE

if TYPE_CHECKING:
    from feedback_app.settings import Settings

KIB = 1024
STRANGERS = 8 * KIB
DEFAULT = 64 * KIB
PAGES = 1024 * KIB
OF_ONE = 16 * KIB * KIB
OF_ALL = 128 * KIB * KIB
LARGEST_AT_ONCE = 2
LINGER_S = 1.0  # what a refused client still sends is thrown away for this long, so that it can read why
LINGER_BYTES = 16 * KIB * KIB


class BodyTooLarge(UsageError):
    """The request's body is larger than any request of its route needs."""

    http_status = 413


@dataclass(frozen=True, slots=True)
class Bound:
    """The largest body below the paths that match. `streamed`: handed on as it comes, for files of any size."""

    paths: re.Pattern[str]
    bytes: int
    streamed: bool = False


def bounds(settings: Settings, uploads: Mapping[str, int]) -> tuple[Bound, ...]:
    """The table; the first row that matches counts, and `DEFAULT` where none does.

    `uploads` are the pages that take files, each with its largest, bytes (`ui.mounts.UPLOADS`).
    """
    taking = [
        Bound(re.compile(re.escape(page.rstrip("/") + "/gradio_api/upload")), largest, streamed=True)
        for page, largest in uploads.items()
    ]
    return (
        Bound(re.compile(r"/v1/(chat/)?completions"), settings.door_body_kib * KIB),
        Bound(re.compile(r"/v1/feedback"), settings.feedback_body_kib * KIB),
        Bound(re.compile(r"/(sign-in|sign-out|account(/.*)?)"), STRANGERS),
        Bound(re.compile(r"/operate/bring/(preview|import)"), LARGEST_FILE, streamed=True),
        Bound(re.compile(r"(/\w+)?/gradio_api/(component_server|queue/join)/?"), PAGES),
        *taking,
    )


@dataclass
class Held:
    """What one request's body holds of the room for bodies; `held` counts all of them, bytes by person."""

    held: Counter[str]
    largest: int
    person: str = ""
    size: int = 0

    def hold(self, size: int) -> None:
        """The body is `size` bytes now. Raises `TooMany` where it would hold more than is left of the room."""
        more, room = size - self.size, LARGEST_AT_ONCE * self.largest
        if self.held[self.person] + more > max(OF_ONE, room):
            raise TooMany("Other requests of yours hold too much already. Wait for one to end.")
        if self.held.total() + more > max(OF_ALL, room):
            raise TooMany("Too many large requests are being read at once. Try again in a moment.")
        self.held[self.person] += more
        self.size = size

    def end(self) -> None:
        """The request is over, or was refused."""
        self.held[self.person] -= self.size
        self.size = 0
        if not self.held[self.person]:
            del self.held[self.person]


class Limits:
    """ASGI middleware: a request goes on with its whole body, or ends here with one sentence."""

    def __init__(self, app: ASGIApp, store: Store, table: Sequence[Bound]) -> None:
        self._app, self._store, self._table = app, store, table
        self.held: Counter[str] = Counter()  # bytes, by person

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        if "content-length" not in headers and "transfer-encoding" not in headers:
            await self._app(scope, receive, send)
            return
        bound = self._bound(str(scope["path"]))
        held = Held(self.held, bound.bytes)
        try:
            announced = int(headers.get("content-length", "0"))
            if announced > bound.bytes:
                raise _too_large(bound)
            if announced > STRANGERS or bound.streamed:
                held.person = await self._ask(scope, headers)
            if bound.streamed:
                await self._stream(scope, receive, send, bound)
                return
            body = await self._read(scope, receive, headers, bound, held)
        except AlignloopError as error:
            held.end()
            await refuse(refusal(str(scope["path"]), error), scope, receive, send)
            return
        except BaseException:
            held.end()
            raise
        try:
            if body is not None:
                await self._app(scope, replayed(body, receive), send)
        finally:
            held.end()

    def _bound(self, path: str) -> Bound:
        return next((row for row in self._table if row.paths.fullmatch(path)), Bound(re.compile(""), DEFAULT))

    async def _read(self, scope: Scope, receive: Receive, headers: Headers, bound: Bound, held: Held) -> bytes | None:
        """The whole body, None when its sender left. Raises before it holds more than it may."""
        body = bytearray()  # not a list of pieces: a piece of one byte costs forty
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > bound.bytes:
                raise _too_large(bound)
            if len(body) > STRANGERS:
                held.person = held.person or await self._ask(scope, headers)
                held.hold(len(body))
            if not message.get("more_body"):
                return bytes(body)

    async def _ask(self, scope: Scope, headers: Headers) -> str:
        """The id of somebody with an account who asks.

        Raises `NotSignedIn`, and what a database says that is away.
        """
        if under(str(scope["path"]), "/v1"):
            return (await asyncio.to_thread(person_of_request, self._store, headers.get("authorization"))).id
        person = await asyncio.to_thread(person_of_token, self._store, token_of(headers))
        if person is None:
            raise NotSignedIn("You are not signed in. Sign in at /sign-in.")
        return person.id

    async def _stream(self, scope: Scope, receive: Receive, send: Send, bound: Bound) -> None:
        """Hand the body on as it comes; once it is too large the app hears that its client has left."""
        size, over, begun = 0, False, False

        async def counted() -> Message:
            nonlocal size, over
            if over:
                return {"type": "http.disconnect"}
            message = await receive()
            size += len(message.get("body", b""))
            if size > bound.bytes:
                over = True
                return {"type": "http.disconnect"}
            return message

        async def sending(message: Message) -> None:
            nonlocal begun
            if not over or begun:
                begun = True
                await send(message)

        try:
            await self._app(scope, counted, sending)
        except Exception:
            if not over:
                raise
        if over and not begun:
            await refuse(refusal(str(scope["path"]), _too_large(bound)), scope, receive, send)


def refusal(path: str, error: AlignloopError) -> Response:
    """One sentence, in OpenAI's shape under /v1."""
    if under(path, "/v1"):
        return error_response(error)
    return JSONResponse({"error": error.outside}, error.http_status)


async def refuse(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer before the body was read, and close.

    What still comes is read for a moment: closing at once would reset the connection, and the reason would be lost.
    """
    response.headers["connection"] = "close"

    async def all_but_the_end(message: Message) -> None:
        await send({**message, "more_body": True} if message["type"] == "http.response.body" else message)

    await response(scope, receive, all_but_the_end)
    left = LINGER_BYTES
    try:
        async with asyncio.timeout(LINGER_S):
            while left > 0 and (message := await receive())["type"] != "http.disconnect" and message.get("more_body"):
                left -= len(message.get("body", b""))
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b""})


def _too_large(bound: Bound) -> BodyTooLarge:
    return BodyTooLarge(f"The request is larger than {bound.bytes // KIB} KiB, the most that is read here. Send less.")
