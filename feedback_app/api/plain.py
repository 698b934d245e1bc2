"""Small pages of our own that need no Gradio: sign-in, account, refusals, and the page shown while pages load."""

from __future__ import annotations

from markupsafe import Markup
from starlette.responses import HTMLResponse

from feedback_app.ui import theme
from feedback_app.ui.markup import EMPTY, html, icon


def plain_page(
    title: str, body: Markup, status: int = 200, refresh_s: int | None = None, *, top: Markup = EMPTY
) -> HTMLResponse:
    """A document with the same look as every page, its content in a narrow column; wide below a bar `top`."""
    again = html('<meta http-equiv="refresh" content="{}">', refresh_s) if refresh_s else ""
    outer, inner = ("al", "sheet") if top else ("al plain", "card")
    head = html('<header class="top">{}</header>', top) if top else ""
    brand = "" if top else html('<a class="brand" href="/">{}<span>alignloop</span></a>', icon("loop"))
    return HTMLResponse(
        html(
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} · alignloop</title>'
            '{head}{again}</head><body><div class="{outer}">{bar}<main class="{inner}">{brand}{body}</main>'
            "</div></body></html>",
            title=title,
            head=theme.head(),
            again=again,
            outer=outer,
            bar=head,
            inner=inner,
            brand=brand,
            body=body,
        ),
        status,
    )


def refusal_page(sentence: str) -> HTMLResponse:
    """Why a page may not be opened, and the way back."""
    return plain_page(
        "Not for this role",
        html('<h1>Not for this role</h1><p>{}</p><a class="button outline" href="/">Back to the chat</a>', sentence),
        403,
    )


def starting_page() -> HTMLResponse:
    """Shown in the seconds between the app's first answer and its pages being loaded."""
    return plain_page(
        "Starting",
        Markup(
            '<h1>Starting</h1><p class="row" role="status"><span class="spin"></span>The pages are loading. '
            "This takes a few seconds; the page opens by itself.</p>"
        ),
        refresh_s=1,
    )
