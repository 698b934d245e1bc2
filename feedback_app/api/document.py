"""The document around Gradio's pages made ours: style and theme stand in the first bytes, so nothing flashes.

Gradio inserts `head=` by script, after the page is drawn, and describes itself in meta tags that name another
host. This rewrites the one HTML document of each page and nothing else.
"""

from __future__ import annotations

import re

from markupsafe import Markup
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from feedback_app.ui import theme

NOT_OURS = re.compile(r"<meta\s+(?:property=\"og:|name=\"twitter:)[^>]*>|<link rel=\"manifest\"[^>]*>\s*", re.DOTALL)
LOADING = Markup(
    '<noscript><p style="padding:32px">alignloop needs JavaScript. Switch it on for this address.</p></noscript>'
)


def own_document(document: str) -> str:
    """The document with our head, without meta tags that are about Gradio."""
    document = NOT_OURS.sub("", document)
    document = document.replace("</head>", theme.head() + Markup("</head>"), 1)
    return document.replace("</body>", LOADING + Markup("</body>"), 1)


class OwnDocument:
    """ASGI middleware that rewrites successful HTML answers; everything else streams through untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started: Message | None = None
        body = b""

        async def rewriting(message: Message) -> None:
            nonlocal started, body
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if message["status"] == 200 and headers.get("content-type", "").startswith("text/html"):
                    started = message
                    return
            elif started is not None and message["type"] == "http.response.body":
                body += message.get("body", b"")
                if message.get("more_body"):
                    return
                rewritten = own_document(body.decode("utf-8")).encode("utf-8")
                MutableHeaders(scope=started)["content-length"] = str(len(rewritten))
                await send(started)
                await send({"type": "http.response.body", "body": rewritten})
                started = None
                return
            await send(message)

        await self._app(scope, receive, rewriting)
