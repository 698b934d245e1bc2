"""The app answers before its pages are loaded, and the document around Gradio's pages is ours."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import HTMLResponse

from feedback_app.api.app import LatePages, build_app
from feedback_app.api.document import OwnDocument, own_document
from feedback_app.collect.admission import Admission
from feedback_app.collect.people import add_person
from feedback_app.settings import Settings
from feedback_app.ui.mounts import Calls
from tests.fakes import FakeVllm
from tests.waiting import until

if TYPE_CHECKING:
    from feedback_app.parts import Parts
    from feedback_app.store.database import Store

PASSWORD = "a long enough one"


class NothingMade:
    """Stands in for `Comparing`, which the app closes at its end."""

    async def close(self) -> None:
        return None


@pytest.fixture
def parts(sqlite_store: Store, tmp_path: Path) -> Parts:
    """Enough parts for an app whose pages are replaced."""
    add_person(sqlite_store, "ada", "annotator", password=PASSWORD)
    return cast(
        "Parts",
        SimpleNamespace(
            store=sqlite_store,
            settings=Settings(home=tmp_path),
            vllm=FakeVllm(),
            facts=None,
            comparing=NothingMade(),
            answers=SimpleNamespace(admission=Admission()),
        ),
    )


def plain_pages() -> FastAPI:
    """Pages without Gradio."""
    pages = FastAPI()
    pages.state.calls = {path: Calls({}, {}, tuple) for path in ("/compare", "/")}

    @pages.get("/{path:path}")
    def page(path: str) -> HTMLResponse:
        return HTMLResponse(f"<html><head></head><body>page {path}</body></html>")

    return pages


async def test_the_app_answers_while_its_pages_load_and_then_serves_them(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()

    def load(self: LatePages) -> FastAPI:
        go.wait(30)
        return plain_pages()

    monkeypatch.setattr(LatePages, "load", load)
    app = build_app(parts)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://app") as browser,
    ):
        assert (await browser.post("/sign-in", data={"name": "ada", "password": PASSWORD})).status_code == 303
        first = await browser.get("/")
        assert first.status_code == 200
        assert "The pages are loading" in first.text
        assert 'http-equiv="refresh"' in first.text
        assert (await browser.post("/gradio_api/queue/join")).status_code == 503
        go.set()
        deadline = time.monotonic() + 30
        while "page " not in (await browser.get("/")).text:
            assert time.monotonic() < deadline
        moved = await browser.get("/compare?x=1")
        assert (moved.status_code, moved.headers["location"]) == (307, "/compare/?x=1")
        assert "/theme.css" in (await browser.get("/compare/")).text


async def test_pages_that_fail_at_another_threads_parsing_are_loaded_again(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [SystemError("AST constructor recursion depth mismatch"), SystemError("again")]

    def load(self: LatePages) -> FastAPI:
        if failures:
            raise failures.pop()
        return plain_pages()

    monkeypatch.setattr(LatePages, "_load", load)
    late = LatePages(parts)
    running = asyncio.create_task(late.run())
    await until(lambda: late._pages is not None)
    assert not late._failed
    running.cancel()


async def test_pages_that_cannot_be_loaded_say_so(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(self: LatePages) -> FastAPI:
        raise ImportError("gradio is broken")

    monkeypatch.setattr(LatePages, "load", load)
    app = build_app(parts)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://app") as browser,
    ):
        await browser.post("/sign-in", data={"name": "ada", "password": PASSWORD})
        deadline = time.monotonic() + 30
        while (answer := await browser.get("/")).status_code == 200:
            assert time.monotonic() < deadline
        assert (answer.status_code, "the log says why" in answer.text) == (500, True)


def test_the_document_loses_what_is_about_gradio_and_gains_our_head() -> None:
    html = (
        '<html><head><meta property="og:image"\n content="https://elsewhere.example/x.jpg" />'
        '<meta name="twitter:creator" content="@x" /><meta charset="utf-8" /><link rel="manifest" href="/m.json" />'
        "</head><body></body></html>"
    )
    ours = own_document(html)
    assert "elsewhere.example" not in ours
    assert "twitter" not in ours
    assert "manifest" not in ours
    assert '<meta charset="utf-8" />' in ours
    assert ours.index("/theme.css") < ours.index("</head>")


async def test_only_whole_pages_are_rewritten() -> None:
    pages = FastAPI()

    @pages.get("/data")
    def data() -> dict[str, str]:
        return {"html": "<head></head>"}

    transport = httpx.ASGITransport(app=OwnDocument(pages))
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as browser:
        assert (await browser.get("/data")).json() == {"html": "<head></head>"}
        assert "theme.css" not in (await browser.get("/missing")).text


async def test_the_style_sheet_is_one_file_without_other_hosts(parts: Parts) -> None:
    app = build_app(parts)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://app") as browser:
        style = await browser.get("/theme.css")
        assert style.headers["content-type"].startswith("text/css")
        assert "@import" not in style.text
        assert "http" not in style.text.replace("http://www.w3.org/2000/svg", "")
