"""The app: one FastAPI that answers at once, loads its pages behind that, and guards everything it serves.

What is not done here: rules (`collect`), pages (`ui`), the door (`api.door`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from feedback_app.api.bringing import build_bringing
from feedback_app.api.calls import OwnCalls
from feedback_app.api.document import OwnDocument
from feedback_app.api.feedback import build_feedback
from feedback_app.api.guard import Guard
from feedback_app.api.health import build_health
from feedback_app.api.limits import Limits, bounds, refusal
from feedback_app.api.lineage import build_lineage
from feedback_app.api.not_offered import build_not_offered
from feedback_app.api.openai_routes import build_door
from feedback_app.api.plain import starting_page
from feedback_app.api.proxies import Proxies
from feedback_app.api.signin import build_signin
from feedback_app.errors import AlignloopError
from feedback_app.parts import Parts
from feedback_app.ui import theme
from feedback_app.ui.mounts import UPLOADS

PAGE_PATHS = tuple(path for path, _, _ in theme.PAGES if path != "/")
TRIES = 3  # at loading the pages
log = logging.getLogger(__name__)


class LatePages:
    """The Gradio pages, which take seconds to import: until they are there, a page says so and comes back."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.pages: ASGIApp | None = None
        self.failed = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in PAGE_PATHS:  # Gradio's relative addresses need the slash
            query = scope.get("query_string", b"").decode("latin-1")
            moved = RedirectResponse(f"{scope['path']}/" + (f"?{query}" if query else ""), 307)
            await moved(scope, receive, send)
            return
        waiting: ASGIApp = starting_page() if scope["method"] == "GET" else JSONResponse({"error": "Starting."}, 503)
        if self.failed:
            waiting = JSONResponse({"error": "The pages could not be loaded; the log says why."}, 500)
        await (self.pages or waiting)(scope, receive, send)

    async def run(self) -> None:
        """Load the pages in a thread, then serve them until cancelled."""
        pages = None
        # Gradio parses its own sources while it is imported, and CPython 3.11 fails at that (SystemError: "AST
        # constructor recursion depth mismatch") when another thread parses at the same moment: so it is tried again.
        for tries_left in reversed(range(TRIES)):
            try:
                pages = await _in_daemon(self.load)
                break
            except SystemError as error:
                if not tries_left:
                    log.exception("the pages could not be loaded")
                else:
                    log.warning("the pages could not be loaded and are tried again: %s", error)
            except Exception:
                log.exception("the pages could not be loaded")
                break
        if pages is None:
            self.failed = True
            return
        async with pages.router.lifespan_context(pages):
            self.pages = OwnCalls(OwnDocument(pages), pages.state.calls)
            await asyncio.Event().wait()

    def load(self) -> FastAPI:
        """The pages, with gradio, which takes seconds to import."""
        from feedback_app.ui.pages import build_pages

        return build_pages(self._parts)


async def _in_daemon(work: Callable[[], FastAPI]) -> FastAPI:
    """Run slow work in a thread that does not keep a stopped app alive, as the loop's own threads would."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[FastAPI] = loop.create_future()

    def finish(setter: Callable[..., None], value: object) -> None:
        if not done.done():  # nobody waits any more once the app has stopped
            setter(value)

    def run() -> None:
        setter: Callable[..., None] = done.set_result
        value: object
        try:
            value = work()
        except Exception as error:
            setter, value = done.set_exception, error
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(finish, setter, value)

    threading.Thread(target=run, name="pages", daemon=True).start()
    return await done


def build_app(parts: Parts) -> FastAPI:
    """The whole app: pages, sign-in, the OpenAI-compatible door, feedback and health."""
    late = LatePages(parts)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        pages = asyncio.create_task(late.run())
        yield
        pages.cancel()
        await asyncio.gather(pages, return_exceptions=True)
        await parts.comparing.close()

    app = FastAPI(title="alignloop", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    routers = (
        build_health(store=parts.store, vllm=parts.vllm),
        build_door(
            store=parts.store,
            vllm=parts.vllm,
            settings=parts.settings,
            facts=parts.facts,
            admission=parts.answers.admission,
        ),
        build_feedback(store=parts.store, kept=parts.settings.kept_signals),
        build_not_offered(parts.store),  # after all that is, below /v1
        build_signin(parts),
        build_lineage(parts),
        build_bringing(parts),
        build_look(),
    )
    for router in routers:
        app.include_router(router)
    app.mount("/", late)
    app.add_exception_handler(AlignloopError, _sentence)
    app.add_middleware(Guard, store=parts.store)
    app.add_middleware(Limits, store=parts.store, table=bounds(parts.settings, UPLOADS))
    app.add_middleware(Proxies, trusted=parts.settings.trusted_proxies)  # the last added is outermost
    return app


async def _sentence(request: Request, error: Exception) -> Response:
    """Any error of ours that a route let pass, as its sentence and status."""
    return refusal(request.url.path, cast("AlignloopError", error))


def build_look() -> APIRouter:
    """The style sheet and the icon, which sign-in needs too."""
    routes = APIRouter()

    @routes.get("/theme.css")
    async def style() -> Response:
        return Response(theme.style_sheet(), media_type="text/css", headers={"Cache-Control": "max-age=31536000"})

    @routes.get("/favicon.svg")
    async def favicon() -> Response:
        return Response(theme.FAVICON, media_type="image/svg+xml", headers={"Cache-Control": "max-age=86400"})

    return routes
