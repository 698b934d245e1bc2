"""Bodies end at their route's bound, whether their length was announced or not, before the app sees them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse

from feedback_app.api import limits
from feedback_app.api.guard import COOKIE
from feedback_app.api.limits import DEFAULT, KIB, PAGES, STRANGERS, Limits, bounds
from feedback_app.collect.people import add_person, new_key, sign_in
from feedback_app.settings import Settings
from tests.waiting import until

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from feedback_app.store.database import Store

PASSWORD = "a long enough one"
CHAT, CALL = "/v1/chat/completions", "/gradio_api/component_server/"


class Echo:
    """An app that answers how much it was given; `asked` says how often it was."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        await JSONResponse({"bytes": len(await Request(scope, receive).body())})(scope, receive, send)


class Bench:
    """The limits around an echo, and two people's ways in."""

    def __init__(self, store: Store, uploads: dict[str, int] | None = None) -> None:
        person = add_person(store, "ada", "annotator", password=PASSWORD).person
        self.cookie = {COOKIE: sign_in(store, "ada", PASSWORD, "here").token}
        self.bearer = {"authorization": f"Bearer {new_key(store, person)}"}
        self.app = Echo()
        settings = Settings(door_body_kib=100, feedback_body_kib=50)
        self.limits = Limits(self.app, store, bounds(settings, uploads or {}))

    async def post(self, path: str, body: Any, known: bool = True) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.limits)
        cookies = self.cookie if known else {}
        async with httpx.AsyncClient(transport=transport, base_url="http://app", cookies=cookies) as client:
            return await client.post(path, content=body, headers=self.bearer if known else {})


@pytest.fixture
def bench(sqlite_store: Store, cheap_passwords: None) -> Bench:
    return Bench(sqlite_store)


async def pieces(size: int, piece: int = 1000) -> AsyncIterator[bytes]:
    """A body whose length is not announced."""
    for at in range(0, size, piece):
        yield b"x" * min(piece, size - at)


BOUNDS = [
    (CHAT, 100 * KIB), ("/v1/feedback", 50 * KIB), ("/sign-in", STRANGERS), ("/account/password", STRANGERS),
    (CALL, PAGES), ("/compare/gradio_api/queue/join", PAGES), ("/gradio_api/upload", DEFAULT), ("/no/where", DEFAULT),
]  # fmt: skip


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize(("path", "largest"), BOUNDS)
async def test_a_body_of_the_bound_passes_and_one_more_byte_does_not(
    bench: Bench, path: str, largest: int, announced: bool
) -> None:
    whole = await bench.post(path, b"x" * largest if announced else pieces(largest))
    assert (whole.status_code, whole.json()) == (200, {"bytes": largest})
    over = await bench.post(path, b"x" * (largest + 1) if announced else pieces(largest + 1))
    assert over.status_code == 413
    assert over.headers["connection"] == "close"
    assert bench.app.asked == 1
    error = over.json()["error"]
    said = error["message"] if path.startswith("/v1") else error
    assert said == f"The request is larger than {largest // KIB} KiB, the most that is read here. Send less."
    assert not path.startswith("/v1") or error["type"] == "invalid_request_error"


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("path", [CHAT, "/v1/feedback", CALL, "/no/where"])
async def test_who_has_no_account_is_asked_for_one_before_more_is_read(
    bench: Bench, path: str, announced: bool
) -> None:
    small = await bench.post(path, b"x" * STRANGERS if announced else pieces(STRANGERS), known=False)
    assert small.status_code == 200  # the guard and the routes refuse these, and know how
    size = 40 * KIB
    over = await bench.post(path, b"x" * size if announced else pieces(size), known=False)
    assert over.status_code == 401
    assert bench.app.asked == 1


async def taken(around: Limits, path: str, headers: list[tuple[bytes, bytes]], messages: list[Message]) -> list[Any]:
    """What is sent to a client whose messages come one by one; the last is repeated until it is heard."""
    sent: list[Any] = []
    coming = list(messages)

    async def receive() -> Message:
        if len(coming) > 1:
            return coming.pop(0)
        if coming and coming[0]["type"] == "http.disconnect":
            return coming[0]
        await asyncio.sleep(60)
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}
    await around(scope, receive, send)
    return sent


async def test_one_persons_half_bodies_together_hold_only_so_much_and_give_it_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "OF_ONE", 300 * KIB)
    go = asyncio.Event()

    async def half() -> AsyncIterator[bytes]:
        yield b"x" * (90 * KIB)
        await go.wait()
        yield b"x"

    async def statuses(count: int, kept: int) -> list[int]:
        asking = [asyncio.create_task(bench.post(CHAT, half())) for _ in range(count)]
        await until(lambda: sum(task.done() for task in asking) == count - kept)
        await until(lambda: bench.limits.held.total() == kept * 90 * KIB)
        go.set()
        return sorted(reply.status_code for reply in await asyncio.gather(*asking))

    assert await statuses(5, 3) == [200, 200, 200, 429, 429]
    go.clear()
    assert await statuses(3, 3) == [200, 200, 200]
    assert not bench.limits.held
    monkeypatch.setattr(limits, "OF_ALL", 250 * KIB)
    go.clear()
    assert await statuses(3, 2) == [200, 200, 429]
    assert not bench.limits.held


async def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(bench: Bench) -> None:
    half: list[Message] = [{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}]
    assert await taken(bench.limits, "/sign-in", [(b"content-length", b"100")], half) == []
    assert bench.app.asked == 0


async def test_a_length_that_is_too_large_is_refused_before_a_byte_of_it_came(bench: Bench) -> None:
    headers = [(b"content-length", str(2**60).encode())]
    sent = await asyncio.wait_for(taken(bench.limits, "/sign-in", headers, [{"type": "http.disconnect"}]), 1)
    assert sent[0]["status"] == 413


async def test_a_page_that_takes_files_streams_them_up_to_its_bound(sqlite_store: Store, cheap_passwords: None) -> None:
    bench = Bench(sqlite_store, {"/rank": 3000 * KIB})
    path = "/rank/gradio_api/upload"
    assert (await bench.post(path, pieces(3000 * KIB, 64 * KIB))).json() == {"bytes": 3000 * KIB}
    assert (await bench.post(path, pieces(3001 * KIB, 64 * KIB))).status_code == 413
    assert (await bench.post(path, b"x" * (3001 * KIB))).status_code == 413
    assert (await bench.post(path, b"x", known=False)).status_code == 401
    assert (await bench.post("/gradio_api/upload", b"x" * (3000 * KIB))).status_code == 413
