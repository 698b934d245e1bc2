"""Small pages of our own that need no Gradio: sign-in, account, refusals, and the page shown while pages load."""

from __future__ import annotations

from starlette.responses import HTMLResponse

from feedback_app.ui import theme
from feedback_app.ui.markup import esc, icon


def plain_page(
    title: str, body: str, status: int = 200, refresh_s: int | None = None, *, top: str = ""
) -> HTMLResponse:
    """A document with the same look as every page, its content in a narrow column; wide below a bar `top`."""
    again = f'<meta http-equiv="refresh" content="{refresh_s}">' if refresh_s else ""
    outer, inner = ("al", "sheet") if top else ("al plain", "card")
    head = f'<header class="top">{top}</header>' if top else ""
    brand = "" if top else f'<a class="brand" href="/">{icon("loop")}<span>alignloop</span></a>'
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{esc(title)} · alignloop</title>'
        f'{theme.head()}{again}</head><body><div class="{outer}">{head}'
        f'<main class="{inner}">{brand}{body}</main></div></body></html>',
        status,
    )


def refusal_page(sentence: str) -> HTMLResponse:
    """Why a page may not be opened, and the way back."""
    return plain_page(
        "Not for this role",
        f'<h1>Not for this role</h1><p>{esc(sentence)}</p><a class="button outline" href="/">Back to the chat</a>',
        403,
    )


def starting_page() -> HTMLResponse:
    """Shown in the seconds between the app's first answer and its pages being loaded."""
    return plain_page(
        "Starting",
        '<h1>Starting</h1><p class="row" role="status"><span class="spin"></span>'
        "The pages are loading. This takes a few seconds; the page opens by itself.</p>",
        refresh_s=1,
    )
