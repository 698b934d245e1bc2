"""Of Gradio's routes only those that our pages use are there, and what they carry is checked before Gradio reads it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from feedback_app.api.calls import OwnCalls, read_call, read_join
from feedback_app.errors import UsageError
from feedback_app.ui.mounts import Calls

OURS = Calls({3: {"act"}, 4: set()}, {0: 0}, lambda: {"known"})
CALL = {"data": {"do": "start"}, "component_id": 3, "fn_name": "act", "session_hash": "s1"}
JOIN = {"data": [], "event_data": {"prompt": "x"}, "fn_index": 0, "trigger_id": 3, "session_hash": "s1"}


async def gradio(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers everything with what it was given; a stream of the session `known` breaks as Gradio's do."""
    if scope["path"].endswith("queue/data"):

        async def broken() -> Any:
            yield b"data: 1\n\n"
            raise HTTPException(404)

        try:
            await StreamingResponse(broken(), media_type="text/event-stream")(scope, receive, send)
        except HTTPException as error:
            raise RuntimeError("Caught handled exception, but response already started.") from error
        return
    body = await Request(scope, receive).body()
    await JSONResponse({"path": scope["path"], "body": body.decode()})(scope, receive, send)


@pytest.fixture
def browser() -> httpx.AsyncClient:
    app = OwnCalls(gradio, {"/compare": OURS, "/": OURS}, {"/compare": 10})
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://app")


@pytest.mark.parametrize(
    "path", ["/", "/compare/", "/config", "/compare/theme.css", "/assets/a.js", "/compare/static/js/x.js",
             "/gradio_api/app_id", "/favicon.ico"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_pages_read_is_there(browser: httpx.AsyncClient, path: str, method: str) -> None:
    assert (await browser.request(method, path)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/gradio_api/file=/etc/passwd"), ("GET", "/gradio_api/file/etc/passwd"), ("HEAD", "/file=/etc/passwd"),
        ("GET", "/gradio_api/proxy=http://127.0.0.1/"), ("POST", "/gradio_api/upload"), ("GET", "/gradio_api/info"),
        ("POST", "/gradio_api/run/act"), ("POST", "/gradio_api/call/act"), ("POST", "/gradio_api/api/act"),
        ("GET", "/gradio_api/heartbeat/s1"), ("POST", "/gradio_api/cancel"), ("POST", "/gradio_api/reset"),
        ("GET", "/gradio_api/openapi.json"), ("GET", "/monitoring"), ("GET", "/monitoring/summary"), ("POST", "/login"),
        ("GET", "/gradio_api/startup-events"), ("GET", "/gradio_api/queue/status"), ("GET", "/gradio_api/dev/reload"),
        ("GET", "/gradio_api/stream/s/r/1/playlist.m3u8"), ("POST", "/gradio_api/stream/x"), ("GET", "/robots.txt"),
        ("POST", "/"), ("PUT", "/config"), ("DELETE", "/"), ("OPTIONS", "/"), ("TRACE", "/"), ("BREW", "/"),
        ("GET", "/assets/..%2f..%2fconfig"), ("GET", "/assets/%2e%2e/x"), ("GET", "/assets//etc/passwd"),
        ("GET", "/static/%5c%5chost"), ("GET", "/assets/%00"), ("GET", "/compared/"), ("GET", "/docs"),
        ("GET", "/compare/gradio_api/queue/data"), ("GET", "/gradio_api/queue/data?session_hash=unknown"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("page", ["", "/compare"])
async def test_everything_else_of_gradio_is_not_there(
    browser: httpx.AsyncClient, page: str, method: str, path: str
) -> None:
    if page and path == "/gradio_api/upload":
        assert (await browser.request(method, page + path)).status_code == 200  # the page that takes files
        return
    answer = await browser.request(method, page + path)
    assert answer.status_code == 404
    assert method == "HEAD" or list(answer.json()) == ["error"]


async def test_gradio_is_handed_only_the_fields_that_pages_send(browser: httpx.AsyncClient) -> None:
    more = {"batched": True, "simple_format": True, "event_id": "x", "request": {}, "oauth_token": "t"}
    call = await browser.post("/gradio_api/component_server/", json={**CALL, **more})
    assert json.loads(call.json()["body"]) == CALL
    join = await browser.post("/compare/gradio_api/queue/join", json={**JOIN, **more})
    assert json.loads(join.json()["body"]) == JOIN


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"component_id": 9}, 404), ({"component_id": "3"}, 404), ({"component_id": True}, 404),
        ({"component_id": 4}, 404), ({"component_id": None}, 404), ({"component_id": [3]}, 404),
        ({"component_id": 3.0}, 404), ({"fn_name": "__class__"}, 404), ({"fn_name": "get_config"}, 404),
        ({"fn_name": ["act"]}, 404), ({"fn_name": {}}, 404), ({"session_hash": None}, 400), ({"session_hash": ""}, 400),
        ({"session_hash": "x" * 65}, 400), ({"session_hash": {}}, 400), ({"session_hash": "a/b"}, 400),
        ({"data": None}, 400), ({"data": []}, 400), ({"data": "x"}, 400), ({"data": {}}, 400),
        ({"data": {"do": {}}}, 400), ({"data": {"n": 2**64}}, 400), ({"data": {"reasons": {}}}, 400),
        ({"data": {"ranks": ["1"]}}, 400),
        ({"data": {"corrections": {"c": "x"}}}, 400), ({"data": {"round": "one"}}, 400),
    ],
)  # fmt: skip
async def test_calls_that_no_page_sends_are_refused(
    browser: httpx.AsyncClient, change: dict[str, Any], status: int
) -> None:
    answer = await browser.post("/gradio_api/component_server/", json={**CALL, **change})
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"fn_index": 1}, 404), ({"fn_index": -1}, 404), ({"fn_index": None}, 404), ({"fn_index": "0"}, 404),
        ({"fn_index": False}, 404), ({"fn_index": 2**64}, 404), ({"data": None}, 400), ({"data": [1]}, 400),
        ({"data": {}}, 400), ({"event_data": []}, 400), ({"event_data": "x"}, 400), ({"trigger_id": 99}, 400),
        ({"trigger_id": "3"}, 400), ({"session_hash": None}, 400), ({"event_data": None}, 200),
        ({"trigger_id": None}, 200),
    ],
)  # fmt: skip
async def test_joins_that_no_page_sends_are_refused(
    browser: httpx.AsyncClient, change: dict[str, Any], status: int
) -> None:
    answer = await browser.post("/gradio_api/queue/join", json={**JOIN, **change})
    assert answer.status_code == status


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "text/plain", "", "application/x-ndjson"])
async def test_only_json_is_read(browser: httpx.AsyncClient, kind: str) -> None:
    headers = {"content-type": kind} if kind else {}
    answer = await browser.post("/gradio_api/component_server/", content=json.dumps(CALL), headers=headers)
    assert answer.status_code == 415


async def test_a_stream_whose_session_goes_just_ends(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/gradio_api/queue/data?session_hash=known")
    assert (answer.status_code, answer.text) == (200, "data: 1\n\n")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from([*CALL, *JOIN, "x"]), JSON | st.sampled_from([3, "act", "s1", 0, [], {}])) | JSON,
    st.sampled_from([read_call, read_join]),
)
def test_whatever_is_sent_is_a_call_or_a_refusal(said: Any, read: Any) -> None:
    try:
        body = json.dumps(said).encode()
        done = read(OURS, body)
    except (UsageError, HTTPException):
        return
    assert json.loads(json.dumps(done)) == done
