"""Attacks on a real app process: it stays small, answers in its own words, and never with a traceback."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.feedback_app.api.app_process import AppProcess, running_app

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

MIB = 2**20
PAGES = ("", "/compare", "/rank", "/operate")
CALL, JOIN = "gradio_api/component_server/", "gradio_api/queue/join"
ROUTES = (
    "/", "/sign-in", "/sign-out", "/account", "/account/password", "/account/key", "/lineage", "/lineage/find",
    "/lineage/version/x", "/lineage/version/%00", "/lineage/version/" + "x" * 3000, "/lineage/person/%ff",
    "/lineage/find?name=%00%ff", "/lineage/version/x?start=" + "9" * 50, "/healthz", "/readyz", "/theme.css", "/docs",
    "/redoc", "/openapi.json", "/v1", "/v1/models", "/v1/models/policy", "/v1/models/%00", "/v1/chat/completions",
    "/v1/feedback", "/compare", "/compare?x=%0d%0aset-cookie:a", "/rank", "/operate", "//", "//evil.example/",
    "/%2e%2e/", "/%00", "/sign-in?next=//evil.example", "/sign-in?next=%0d%0a", "/nowhere", "/.env", "/metrics",
    "/operate/bring/preview", "/operate/bring/import?map=%00%ff&name=..%2f..%2fx", "/operate/bring/preview?strict=x",
)  # fmt: skip
GRADIOS = (
    "", "config", "theme.css", "info", "login", "logout", "token", "app_id", "user", "monitoring", "monitoring/summary",
    "robots.txt", "manifest.json", "pwa_icon", "pwa_icon/0", "pwa_icon/99999999", "favicon.ico", "assets/", "assets/x",
    "assets/..%2f..%2f..%2fetc%2fpasswd", "static/../../etc/passwd", "static/%2e%2e/x", "svelte/x", "svelte/..%5cx",
    "file=/etc/passwd", "file/etc/passwd", "gradio_api/file=/etc/passwd", "gradio_api/file=../alignloop.db",
    "gradio_api/file=http://127.0.0.1:1/", "gradio_api/proxy=http://127.0.0.1:1/", "gradio_api/heartbeat/x",
    "gradio_api/upload", "gradio_api/upload_progress?upload_id=x", "gradio_api/queue/join", "gradio_api/queue/data",
    "gradio_api/queue/data?session_hash=x", "gradio_api/queue/status", "gradio_api/run/act", "gradio_api/call/act",
    "gradio_api/call/v2/act", "gradio_api/call/act/x", "gradio_api/api/act", "gradio_api/cancel", "gradio_api/reset",
    "gradio_api/info", "gradio_api/openapi.json", "gradio_api/startup-events", "gradio_api/component_server",
    "gradio_api/component_server/", "gradio_api/dev/reload", "gradio_api/stream/x", "gradio_api/stream/x/close",
    "gradio_api/stream/s/r/1/playlist.m3u8", "gradio_api/stream/s/r/x/1.aac", "gradio_api/deep_link", "gradio_api/runs",
    "gradio_api/custom_component/1/client/x/x", "gradio_api/mcp/", "gradio_api/vibe-edit/",
)  # fmt: skip
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "CONNECT")
BODIES: tuple[tuple[str, bytes], ...] = (
    ("application/json", b""),
    ("application/json", b"{}"),
    ("application/json", b"[]"),
    ("application/json", b"null"),
    ("application/json", b"[" * 60_000),
    ("application/json", b'{"a":' * 10_000),
    ("application/json", b'{"data": [NaN, 1e999], "fn_index": 99999999999999999999, "session_hash": "\\ud800"}'),
    ("application/json", b"\xff\xfe\x00"),
    ("application/json", json.dumps({str(n): n for n in range(5000)}).encode()),
    ("application/x-www-form-urlencoded", b"name=%00%ff&password=&next=%5c&old=a&new=b&again=b"),
    ("application/x-www-form-urlencoded", b"&" * 4000),
    ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'),
    ("multipart/form-data", b"--x--"),
    ("multipart/form-data; boundary=" + "x" * 300, b"--"),
    ("text/plain; charset=nonsense", b"x"),
)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    """One process for all of these."""
    with running_app(tmp_path_factory.mktemp("attacks")) as running:
        yield running


@pytest.fixture(scope="module")
def browser(app: AppProcess) -> Iterator[httpx.Client]:
    client = app.browser()
    yield client
    client.close()


@pytest.fixture(autouse=True)
def quiet(app: AppProcess) -> Iterator[None]:
    """Whatever a test sends, the log shows no failure for it."""
    before = len(app.said())
    yield
    said = app.said()[before:]
    assert "Traceback" not in said, said[-4000:]
    assert " ERROR " not in said, said[-4000:]


def chunks(size: int) -> Iterator[bytes]:
    """A body whose length is not announced."""
    for _ in range(size // 65536):
        yield b"[" * 65536


def test_large_bodies_are_refused_in_one_sentence_and_leave_nothing(app: AppProcess, browser: httpx.Client) -> None:
    key = app.key(browser)
    stranger = httpx.Client(base_url=app.url, timeout=60, trust_env=False)
    disk = app.temporary_bytes()
    before = app.memory()
    tried = [(stranger, path, {}) for path in ("/sign-in", "/v1/feedback", f"/{CALL}", "/gradio_api/upload", "/x")]
    tried += [(browser, path, {}) for path in ("/account/password", f"/{CALL}", f"/{JOIN}", "/gradio_api/upload")]
    known = {"authorization": f"Bearer {key}"}
    tried += [(browser, path, known) for path in ("/v1/chat/completions", "/v1/feedback")]
    for client, path, headers in tried:
        for kind in ("application/json", "multipart/form-data; boundary=x"):
            for body in (b"[" * (100 * MIB), chunks(100 * MIB)):
                sent = {**headers, "content-type": kind}
                answer = client.post(path, content=body, headers=sent)
                assert answer.status_code in ((401, 413) if client is stranger else (413,)), path
                error = answer.json()["error"]
                sentence = error["message"] if path.startswith("/v1") else error
                assert sentence.count(".") <= 4
                assert sentence.endswith(".")
                assert answer.headers["connection"] == "close"
    stranger.close()
    assert app.memory() - before < 30 * MIB
    assert app.temporary_bytes() == disk


def test_json_that_would_be_large_as_objects_grows_nothing(app: AppProcess, browser: httpx.Client) -> None:
    known = {"authorization": f"Bearer {app.key(browser)}", "content-type": "application/json"}
    empty = b'{"model":"policy","messages":[' + b"{}," * (MIB - 100) + b"{}]}"  # 3 MiB; as objects, about 70
    browser.post("/v1/chat/completions", content=b"{}", headers=known)
    before = app.memory()
    for body in (empty, b'{"a":' * (MIB // 2), b'{"model":"policy","messages":[' + b'"",' * MIB + b"0]}"):
        answer = browser.post("/v1/chat/completions", content=body, headers=known)
        assert answer.status_code == 400
    assert app.memory() - before < 30 * MIB


def test_no_upload_reaches_a_disk(app: AppProcess, browser: httpx.Client) -> None:
    disk = app.temporary_bytes()
    for page in PAGES:
        answer = browser.post(f"{page}/gradio_api/upload", files={"files": ("a.bin", b"x" * 50_000)})
        assert answer.status_code == 404
        answer = browser.post(f"{page}/{CALL}", files={"files": ("a.bin", b"x" * 50_000)}, data={"component_id": "1"})
        assert answer.status_code == 415
    assert app.temporary_bytes() == disk


def test_every_route_with_every_method_and_body_is_below_500(app: AppProcess, browser: httpx.Client) -> None:
    paths = [*ROUTES, *(f"{page}/{path}" for page in PAGES for path in GRADIOS)]
    pick = random.Random(7)
    stranger = httpx.Client(base_url=app.url, timeout=60, trust_env=False)
    worst = []
    for path in paths:
        for method in METHODS:
            kind, body = pick.choice(BODIES)
            if path in ("/sign-out", "/account/key") and method == "POST":
                continue  # would end this session, or the key that another test holds
            clients = (browser, stranger) if pick.random() < 0.3 else (browser,)
            for client in clients:
                with client.stream(method, path, content=body, headers={"content-type": kind}) as answer:
                    if answer.status_code >= 500 and not (answer.status_code == 503 and path == "/readyz"):
                        worst.append((method, path, kind, body[:40], answer.status_code, answer.read()[:200]))
    stranger.close()
    assert worst == []


def test_malformed_calls_of_the_pages_are_4xx(app: AppProcess, browser: httpx.Client) -> None:
    for page in PAGES:
        component = browser.get(f"{page}/config").json()["components"][0]["id"]
        call: dict[str, Any] = {
            "component_id": component,
            "fn_name": "act",
            "session_hash": "s",
            "data": {"do": "start"},
        }
        assert browser.post(f"{page}/{CALL}", json=call).json()["error"] == ""
        for key in call:
            for value in (None, [], {}, "x" * 100, -1, 10**30, 1.5, True, "\x00", "é"):
                answer = browser.post(f"{page}/{CALL}", json={**call, key: value})
                assert 400 <= answer.status_code < 500, (page, key, value)
            answer = browser.post(f"{page}/{CALL}", json={k: v for k, v in call.items() if k != key})
            assert 400 <= answer.status_code < 500, (page, key)
        join = {"data": [], "fn_index": 99, "session_hash": "s"}
        assert browser.post(f"{page}/{JOIN}", json=join).status_code == 404


ACTS = (
    "start", "open", "show", "new", "pulse", "send", "stop", "retry", "sibling", "rename-open", "rename", "delete",
    "mark", "reason", "comment", "undo", "edit", "edit-close", "correct", "copied", "verdict", "next", "start-round",
    "cancel", "promote", "rollback", "schedule", "invite", "reset", "disable", "set-aside", "role",
)  # fmt: skip
FIELDS = (
    "of", "conversation", "message", "ticket", "judgement", "text", "title", "mark", "reason", "comment", "correction",
    "choice", "a_mark", "b_mark", "reasons", "corrections", "ranks", "size", "cannot_judge", "method", "start",
    "settings", "round", "version", "note", "every_judgements", "every_hours", "enabled", "name", "role", "prompt",
)  # fmt: skip
VALUES = (
    "", "x", "\x00", "é" * 200, "x" * 20_000, 0, -1, 2**52, 10**400, 1e308, True, None, [], ["x"], [1], [[]], {},
    {"a": "x"}, {"a": {}}, {"b": 1}, "3", "1e999", "nan", "tie", "bad", "good", "../..", "operator",
)  # fmt: skip


def test_acts_of_invented_values_are_refused_in_words(app: AppProcess, browser: httpx.Client) -> None:
    pick = random.Random(11)
    for page in PAGES:
        component = browser.get(f"{page}/config").json()["components"][0]["id"]
        for do in ACTS:
            for _ in range(12):
                act = {field: pick.choice(VALUES) for field in pick.sample(FIELDS, pick.randrange(0, 12))}
                call = {"component_id": component, "fn_name": "act", "session_hash": "s", "data": {**act, "do": do}}
                answer = browser.post(f"{page}/{CALL}", json=call)
                assert answer.status_code < 500, (page, do, act)
                assert "log says what" not in answer.text, (page, do, act)


RAW = (
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET /healthz HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: [\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a\xff\r\naccept: text/html\r\n\r\n",
    b"GET /compare/nothing/ HTTP/1.1\r\nhost: [::1\r\naccept: text/html\r\n\r\n",
    b"POST /sign-in HTTP/1.1\r\nhost: x\r\norigin: http://[\r\ncontent-length: 0\r\n\r\n",
    b"POST /sign-in HTTP/1.1\r\nhost: x:99999999\r\norigin: http://x:y\r\ncontent-length: 0\r\n\r\n",
    b"POST /sign-in HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=\xff\r\n"
    b"content-length: 2\r\n\r\n--",
    b"POST /sign-in HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    b"POST /sign-in HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
    b"POST /sign-in HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999999\r\n\r\n",
    b"POST /sign-in HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /sign-in HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n",
    b"POST /sign-in HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    b"POST /sign-in HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    b"POST /sign-in HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 99999999\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: x\r\ncookie: alignloop=\xff\xfe; =; \x01\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 20_000 + b"\r\n",
    b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"b" * 200_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET http://[/ HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET http://elsewhere.example/sign-in HTTP/1.1\r\nhost: x\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
    b"CONNECT elsewhere.example:443 HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET /../../etc/passwd HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET /sign-in?next=\xff%zz HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\r\n\r\n\r\n",
    b"\x00" * 1000,
)


@pytest.mark.parametrize("sent", RAW, ids=[str(number) for number in range(len(RAW))])
def test_bytes_that_no_client_sends_end_below_500(app: AppProcess, browser: httpx.Client, sent: bytes) -> None:
    with app.connect() as connection:
        said = b""
        with contextlib.suppress(OSError):  # the app may end the connection before half of this was said
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                said += piece
    for line in said.split(b"HTTP/1.1 ")[1:]:
        assert int(line[:3]) < 500, said[:300]
    assert app.process.poll() is None


def test_a_client_that_leaves_in_the_middle_of_a_body_is_no_error(app: AppProcess, browser: httpx.Client) -> None:
    for path in ("/sign-in", "/v1/feedback", f"/{CALL}"):
        with app.connect() as connection:
            connection.sendall(f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf".encode())
    assert browser.get("/healthz").status_code == 200


def test_1500_half_requests_end_and_nobody_else_waits_for_them(app: AppProcess, browser: httpx.Client) -> None:
    half, slowest = [], 0.0
    try:
        for number in range(1500):
            connection = app.connect()
            connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n" if number % 2 else b"POST /sign-in HTTP/1.1\r\n")
            half.append(connection)
            if number % 300 == 0:
                began = time.monotonic()
                assert httpx.get(f"{app.url}/healthz", timeout=20, trust_env=False).status_code == 200
                slowest = max(slowest, time.monotonic() - began)
        deadline = time.monotonic() + 60
        for connection in half:
            connection.settimeout(max(0.1, deadline - time.monotonic()))
            said = connection.recv(1000)
            assert said.startswith(b"HTTP/1.1 408 ")
    finally:
        for connection in half:
            connection.close()
    assert slowest < 5


def test_a_body_of_a_byte_a_second_ends(app: AppProcess, browser: httpx.Client) -> None:
    with app.connect() as connection:
        connection.sendall(b"POST /sign-in HTTP/1.1\r\nhost: x\r\ncontent-length: 8000\r\n\r\n")
        connection.settimeout(1.0)
        said, began = b"", time.monotonic()
        while not said and time.monotonic() - began < 60:
            with contextlib.suppress(TimeoutError):
                connection.sendall(b"x")
                said = connection.recv(1000)
        assert said.startswith(b"HTTP/1.1 408 ")


def test_strangers_learn_no_address_from_readiness(app: AppProcess, browser: httpx.Client) -> None:
    stranger = httpx.get(f"{app.url}/readyz", trust_env=False)
    assert stranger.status_code == 503
    assert set(stranger.json()) == {"ready", "version", "waiting_for"}
    assert set(browser.get("/readyz").json()) == {"ready", "version", "waiting_for", "detail"}
    key = {"authorization": f"Bearer {app.key(browser)}"}
    assert "detail" in httpx.get(f"{app.url}/readyz", headers=key, trust_env=False).json()


def test_nobody_else_on_this_machine_reads_the_home(app: AppProcess, browser: httpx.Client) -> None:
    wide = [path for path in (app.home, *app.home.rglob("*")) if path.stat().st_mode & 0o077]
    assert wide == []
    assert {path.name for path in app.home.iterdir()} >= {"alignloop.db"}


def test_the_temporary_folder_goes_with_the_process(tmp_path: Path) -> None:
    with running_app(tmp_path) as app:
        app.browser().close()
        assert [path.stat().st_mode & 0o777 for path in app.temp.glob("alignloop-*")] == [0o700]
    assert list(app.temp.glob("alignloop-*")) == []
