"""The pages as Gradio apps, each a Blocks of its own at its own path, mounted into one FastAPI.

Gradio takes seconds to import, so the app imports this module after it answers.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import gradio as gr
from fastapi import FastAPI, Request

from feedback_app.parts import Parts
from feedback_app.ui.chat import build_chat
from feedback_app.ui.compare import build_compare
from feedback_app.ui.markup import prose
from feedback_app.ui.mounts import UPLOADS, Calls
from feedback_app.ui.operate import build_operate
from feedback_app.ui.rank import build_rank

BUILDERS: tuple[tuple[str, Callable[[Parts], gr.Blocks]], ...] = (
    ("/compare", build_compare),
    ("/rank", build_rank),
    ("/operate", build_operate),
    ("/", build_chat),  # last: a mount at the root takes every path that is left
)


def person_id(request: Request) -> str | None:
    """The person whom the guard let through; Gradio refuses everything without one."""
    person = request.scope.get("alignloop.person")
    return None if person is None else str(person.id)


def offered(blocks: gr.Blocks) -> Calls:
    """What this page's script may call."""
    functions = {
        number: frozenset(name for name, value in vars(block).items() if getattr(value, "_is_server_fn", False))
        for number, block in blocks.blocks.items()
    }
    events = {number: len(event.inputs) for number, event in blocks.fns.items()}
    return Calls(functions, events, lambda: blocks._queue.pending_messages_per_session.keys())


def build_pages(parts: Parts) -> FastAPI:
    """Every page, ready to be entered with its lifespan; `state.calls` says what each offers."""
    prose("")  # what the first event would import otherwise, while somebody waits for it
    if find_spec("matplotlib") is not None:
        import_module("matplotlib.pyplot")  # Gradio asks for it at its first event, whether plots are shown or not
    pages = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    pages.state.calls = {}
    for path, build in BUILDERS:
        blocks = build(parts)
        blocks.max_threads = 64
        blocks.queue(default_concurrency_limit=None, api_open=False)
        gr.mount_gradio_app(
            pages,
            blocks,
            path=path,
            footer_links=[],
            run_history=False,
            show_error=False,
            auth_dependency=person_id,
            theme=gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
            enable_monitoring=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            max_file_size=UPLOADS.get(path, 0),
        )
        pages.state.calls[path] = offered(blocks)
    return pages
