"""A file of feedback by the page: the browser sends it as it is, once to be looked at and once to be imported.

The guard holds everything below `/operate` for operators, and `api.limits` holds the body to its bound while it comes.
One file is read at a time, in a thread, and it is gone when its request is answered. What a file says is read by
`exchange`; what is shown is `ui.operate_import`'s.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request
from markupsafe import Markup
from starlette.responses import JSONResponse, Response

from alignment.errors import UserFacingError
from feedback_app.api.guard import signed_in
from feedback_app.collect.people import require
from feedback_app.domain.people import Role
from feedback_app.errors import Conflict, Unavailable
from feedback_app.exchange.brought_file import Wishes, bring, kept, preview
from feedback_app.parts import Parts
from feedback_app.ui import operate_import as view

log = logging.getLogger(__name__)
LONGEST_MAP = 2000  # characters
SORRY = "This file could not be read; the log says why. Nothing more of it was imported."

Name = Annotated[str, Query(max_length=1000)]
Map = Annotated[str, Query(max_length=LONGEST_MAP)]


def build_bringing(parts: Parts) -> APIRouter:
    """`POST /operate/bring/preview` and `/operate/bring/import`: the body is the file, the query says how it is read.

    Both answer `{"html": …}`, or `{"error": …}` with the error's status.
    """
    routes = APIRouter()
    turn = asyncio.Lock()  # of one file at a time

    @routes.post("/operate/bring/preview")
    async def look(
        request: Request, name: Name = "", map: Map = "", text_only: bool = False, strict: bool = False
    ) -> Response:
        wishes = Wishes(map, text_only, strict)
        return await read(request, name, lambda path: view.preview(preview(path, wishes), wishes.strict))

    @routes.post("/operate/bring/import")
    async def import_(
        request: Request, name: Name = "", map: Map = "", text_only: bool = False, strict: bool = False
    ) -> Response:
        wishes = Wishes(map, text_only, strict)
        return await read(request, name, lambda path: view.imported(path.name, bring(parts.store, path, wishes)))

    async def read(request: Request, name: str, work: Callable[[Path], Markup]) -> Response:
        try:
            require(signed_in(request), Role.OPERATOR)
            if turn.locked():
                async for _ in request.stream():  # a client that is still sending would not hear the answer
                    pass
                raise Conflict("Another file is being read. Try again when it is done.")
            async with turn:
                return JSONResponse({"html": await held(request, name, work)})
        except UserFacingError as error:
            return JSONResponse({"error": error.outside}, error.http_status)

    async def held(request: Request, name: str, work: Callable[[Path], Markup]) -> str:
        """Keep the body as a file while `work` reads it. The thread that reads it removes it."""
        place = ExitStack()
        try:
            path = await asyncio.to_thread(place.enter_context, kept(parts.settings.home, name))
            with path.open("wb") as file:
                async for piece in request.stream():
                    await asyncio.to_thread(file.write, piece)
        except OSError as error:
            place.close()
            raise Unavailable(
                f"The file cannot be kept here: {error.strerror}. Make room, then bring it again."
            ) from error
        except BaseException:
            place.close()
            raise

        def then() -> Markup:
            with place:
                return work(path)

        return str(await asyncio.shield(asyncio.to_thread(then)))

    return routes
