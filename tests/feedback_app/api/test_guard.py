"""Who may reach what: every path and method, pages and raw POSTs, before anything else sees the request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.responses import JSONResponse

from feedback_app.api.guard import COOKIE, Guard, foreign, needed_role, under
from feedback_app.collect.people import add_person, sign_in

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from feedback_app.store.database import Store

pytestmark = pytest.mark.slow

PASSWORD = "a long enough one"
Client = Callable[[str | None], Awaitable[httpx.AsyncClient]]
JOIN = "gradio_api/queue/join"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that answers everything, with the CORS headers that Gradio would add."""
    person = scope.get("alignloop.person")
    response = JSONResponse(
        {"person": person.name if person else None},
        headers={"access-control-allow-origin": "https://evil.example", "access-control-allow-credentials": "true"},
    )
    await response(scope, receive, send)


@pytest.fixture
async def client(sqlite_store: Store) -> AsyncIterator[Client]:
    """Makes a client that is signed in with a role, or not at all."""
    clients: list[httpx.AsyncClient] = []

    async def make(role: str | None) -> httpx.AsyncClient:
        cookies = {}
        if role:
            add_person(sqlite_store, role, role, password=PASSWORD)
            cookies = {COOKIE: sign_in(sqlite_store, role, PASSWORD, "here").token}
        transport = httpx.ASGITransport(app=Guard(echo, sqlite_store))
        clients.append(httpx.AsyncClient(transport=transport, base_url="http://app", cookies=cookies))
        return clients[-1]

    yield make
    for made in clients:
        await made.aclose()


REACH = {
    "chatter": ("/",),
    "annotator": ("/", "/compare/", "/rank/"),
    "operator": ("/", "/compare/", "/rank/", "/operate/"),
}


@pytest.mark.parametrize("role", REACH)
@pytest.mark.parametrize("page", ["/", "/compare/", "/rank/", "/operate/"])
async def test_pages_and_raw_posts_below_them_need_the_role(client: Client, role: str, page: str) -> None:
    browser = await client(role)
    wanted = 200 if page in REACH[role] else 403
    assert (await browser.get(page)).status_code == wanted
    for route in (JOIN, "gradio_api/component_server", "gradio_api/run/act", "gradio_api/cancel", "gradio_api/reset"):
        assert (await browser.post(page + route, json={})).status_code == wanted


async def test_without_a_session_pages_lead_to_sign_in_and_posts_are_refused(client: Client) -> None:
    browser = await client(None)
    page = await browser.get("/operate/?x=1", headers={"accept": "text/html"})
    assert page.status_code == 303
    assert page.headers["location"] == "/sign-in?next=%2Foperate%2F%3Fx%3D1"
    assert (await browser.get("/config")).status_code == 401
    assert (await browser.post(f"/{JOIN}", json={})).status_code == 401


@pytest.mark.parametrize("path", ["/sign-in", "/theme.css", "/favicon.svg", "/healthz", "/readyz", "/v1/models"])
async def test_open_paths_need_no_session(client: Client, path: str) -> None:
    assert (await (await client(None)).get(path)).status_code == 200


@pytest.mark.parametrize("path", ["/operate", "/operate/", "/operate/gradio_api/queue/join", "/operate/assets/x.js"])
def test_everything_below_a_mount_needs_its_role(path: str) -> None:
    assert needed_role(path) == "operator"
    assert not under(path, "/oper")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": "http://app"},
    ],
)
async def test_a_post_from_another_sites_page_is_refused_even_with_the_cookie(
    client: Client, headers: dict[str, str]
) -> None:
    browser = await client("operator")
    assert (await browser.post(f"/operate/{JOIN}", json={}, headers=headers)).status_code == 403
    assert (await browser.post("/sign-in", data={}, headers=headers)).status_code == 403


async def test_a_post_from_our_own_page_passes(client: Client) -> None:
    browser = await client("operator")
    own = {"origin": "http://app", "sec-fetch-site": "same-origin"}
    assert (await browser.post(f"/operate/{JOIN}", json={}, headers=own)).status_code == 200


async def test_no_origin_is_echoed_and_pages_stay_on_this_host(client: Client) -> None:
    answer = await (await client("chatter")).get("/", headers={"origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy.replace("'self'", "")


async def test_a_disabled_person_is_out_at_the_next_request(client: Client, sqlite_store: Store) -> None:
    browser = await client("chatter")
    assert (await browser.get("/")).status_code == 200
    person = sqlite_store.people.by_name("chatter")
    assert person is not None
    sqlite_store.people.set_disabled(person.id, True)
    assert (await browser.get("/")).status_code == 401
    sqlite_store.people.set_disabled(person.id, False)
    assert (await browser.get("/")).status_code == 401, "enabling does not bring the session back"


async def test_another_role_counts_at_the_next_request(client: Client, sqlite_store: Store) -> None:
    browser = await client("operator")
    add_person(sqlite_store, "another operator", "operator", password=PASSWORD)
    assert (await browser.get("/operate/")).status_code == 200
    found = sqlite_store.people.by_name("operator")
    assert found is not None
    for role, code in (("annotator", 403), ("operator", 200), ("chatter", 403)):
        sqlite_store.people.set_role(found.id, role)
        assert (await browser.get("/operate/")).status_code == code
        assert (await browser.post(f"/operate/{JOIN}", json={})).status_code == code


async def test_a_broken_cookie_is_no_session(client: Client) -> None:
    browser = await client(None)
    assert (await browser.get("/", headers={"cookie": 'alignloop="\\; ='})).status_code == 401


def test_programs_that_send_neither_header_are_not_foreign() -> None:
    from starlette.datastructures import Headers

    assert not foreign(Headers({"host": "app"}))
