"""What every page looks like: the style sheet, the head of the document, Gradio's theme, the top bar.

Styles and scripts are files under `assets/`, read when the app is built. System fonts only: a theme with web
fonts would make the browser ask another host.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from markupsafe import Markup

from feedback_app.domain.people import Role
from feedback_app.ui.markup import EMPTY, attributes, button, html, icon

if TYPE_CHECKING:
    from feedback_app.ui.model_status import ModelState

STYLES = ("theme.css", "chat.css", "judge.css", "operate.css")
PAGES = (
    ("/", "Chat", Role.CHATTER),
    ("/compare", "Compare", Role.ANNOTATOR),
    ("/rank", "Rank", Role.ANNOTATOR),
    ("/operate", "Operate", Role.OPERATOR),
)
THEME_SCRIPT = Markup(
    "(()=>{const t=localStorage.getItem('alignloop.theme');"
    "if(t==='dark'||t==='light')document.documentElement.dataset.theme=t;})();"
)
FAVICON = Markup(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="#1b6b57" '
    'stroke-width="2.5" stroke-linecap="round" stroke-linejoin="round"><path d="M19 12a7 7 0 1 '
    '1-2.2-5.1M19.5 3.5v4h-4"/></svg>'
)


@cache
def asset(name: str) -> str:
    """The text of a file under `assets/`."""
    return (files("feedback_app.ui") / "assets" / name).read_text("utf-8")


@cache
def style_sheet() -> str:
    """Every page's CSS as one sheet."""
    return "\n".join(asset(name) for name in STYLES)


@cache
def style_version() -> str:
    """Changes when the style sheet does, so that browsers may keep it for long."""
    return hashlib.sha256(style_sheet().encode()).hexdigest()[:12]


def head() -> Markup:
    """What stands in `<head>` of every page: style, favicon, and the theme chosen before."""
    return html(
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" '
        'href="/favicon.svg" type="image/svg+xml"><link rel="stylesheet" href="/theme.css?v={}"><script>{}'
        "</script>",
        style_version(),
        THEME_SCRIPT,
    )


def reaches(role: str, needed: str) -> bool:
    """Whether `role` includes `needed`, for showing links; the server's guard decides what may be opened."""
    return role in tuple(Role) and Role(role).reaches(Role(needed))


def top_bar(current: str, name: str, role: str, before: Markup = EMPTY, *, switch: bool = True) -> Markup:
    """The bar on top: brand, the pages this role may open, light or dark (a page without script has no `switch`),
    and the account.
    """
    links = Markup()
    for path, title, needed in PAGES:
        if reaches(role, needed):
            here = "page" if path == current else None
            links += html("<a{}>{}</a>", attributes(href=path.rstrip("/") + "/", aria_current=here), title)
    brand = html('<a class="brand" href="/" aria-label="alignloop">{}<span>alignloop</span></a>', icon("loop"))
    mine = attributes(class_="me", href="/account", title="Your account", aria_label=f"{name}, your account")
    account = html("<a{}>{}<span>{}</span></a>", mine, icon("person"), name)
    theme = button("theme", symbol="theme", label="Light or dark") if switch else ""
    return html(
        '{before}{brand}<nav aria-label="Pages">{links}</nav>{theme}{account}',
        before=before,
        brand=brand,
        links=links,
        theme=theme,
        account=account,
    )


def loading_model(state: ModelState, now: float) -> Markup:
    """The strip that says the model is not there yet; empty when it is.

    A start takes about a minute on two cores: the bar nears its end without promising it.
    """
    name, detail = state.name, state.detail
    if state.ready:
        return Markup()
    waited = max(0.0, now - state.since) if state.since is not None else 0.0
    sentence = {
        "failed": "The model could not be started. The log of vLLM in ALIGNLOOP_HOME/logs says why.",
        "stopped": "The model is stopped.",
        "paused": "The model rests while a round is training. It comes back by itself.",
        "restarting": "The model stopped and is being started again.",
    }.get(name, "The model is loading.")
    if name in ("failed", "stopped"):
        return html('<div class="loading-model"><p><strong>{}</strong></p></div>', sentence)
    share = 4 + 96 * (1 - 0.5 ** (waited / 30))
    timing = f" {waited:.0f} s so far; about a minute on two cores." if waited >= 1 else ""
    return (
        html(
            '<div class="loading-model" role="status"><p><strong>{}</strong>{} You may look around and type '
            'meanwhile.</p><div class="bar" role="progressbar" aria-label="Loading the model"><i '
            'style="width:{:.0f}%"></i></div>',
            sentence,
            timing,
            share,
        )
        + (html('<p class="small mono">{}</p>', detail[-160:]) if detail else "")
        + Markup("</div>")
    )
