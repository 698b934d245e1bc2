"""A client that leaves before its response is there: what was being made for it ends at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from fastapi import Request, Response

CLIENT_LEFT = 499  # nobody reads it; the number that proxies log for this


async def unless_left(request: Request, work: Awaitable[Response]) -> Response:
    """The response that `work` makes; it is cancelled when the client leaves meanwhile.

    The request's body must have been read.
    """
    making = asyncio.current_task()
    assert making is not None
    left = False

    async def watch() -> None:
        nonlocal left
        while (await request.receive())["type"] != "http.disconnect":
            pass
        left = True
        making.cancel()

    watching = asyncio.create_task(watch())
    try:
        return await work
    except asyncio.CancelledError:
        # Cancelled by `watch` alone, it is no cancellation to anybody further up; by somebody else too, it is.
        if left and making.uncancel() == 0:
            return Response(status_code=CLIENT_LEFT)
        raise
    finally:
        watching.cancel()
