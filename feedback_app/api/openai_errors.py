"""Errors of the HTTP routes in the shape OpenAI's clients read, so that they raise their right classes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from feedback_app.collect.text import clean
from feedback_app.errors import AlignloopError, Unavailable

log = logging.getLogger(__name__)

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
    503: "unavailable_error",
}
RETRY_AFTER_S = 2


def error_body(status: int, message: str, code: str | None = None) -> dict[str, Any]:
    """OpenAI's error object; a message may repeat what was sent, which need not be text that can be sent back."""
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": clean(message), "type": kind, "param": None, "code": code}}


def error_response(error: Exception) -> Response:
    """The response to an error; what nobody foresaw is logged and hidden."""
    if not isinstance(error, AlignloopError):
        log.error("a route failed", exc_info=error)
        return JSONResponse(error_body(500, "Something went wrong on the server; its log says what."), 500)
    headers = {}
    if isinstance(error, Unavailable):
        headers["retry-after"] = str(RETRY_AFTER_S)
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is not None:
        headers["retry-after"] = str(max(1, round(retry_after_s)))
    if error.http_status == 401:
        headers["www-authenticate"] = "Bearer"
    if error.outside != str(error):
        log.warning("%s", error)
    return JSONResponse(error_body(error.http_status, error.outside), error.http_status, headers)


class OpenAIRoute(APIRoute):
    """A route whose errors have OpenAI's shape."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with errors turned into responses."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"] if part != "body")
                return JSONResponse(error_body(400, f"The request cannot be read: {where} {first['msg']}."), 400)
            except Exception as error:
                return error_response(error)

        return handled
