"""Attacks on sign-in over real HTTP: a guesser must keep nobody else out, whatever it claims to be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest
import uvicorn
from sqlalchemy import text

from feedback_app.api.app import build_app
from feedback_app.api.guard import COOKIE, DEVICE_COOKIE
from feedback_app.collect.admission import Admission
from feedback_app.collect.guessing import FREE
from feedback_app.collect.people import add_person
from feedback_app.processes.run import server_config
from feedback_app.settings import Settings
from feedback_app.store.database import open_store
from tests.fakes import FakeVllm
from tests.waiting import until

if TYPE_CHECKING:
    from feedback_app.parts import Parts
    from feedback_app.store.database import Store

pytestmark = pytest.mark.slow

PASSWORD = "a long enough one"
HERE, THERE = "127.0.0.1", "127.0.0.2"  # both reach the app at 127.0.0.1
EVERY_S = 0.05


@pytest.fixture
def shared(database_url: str) -> Iterator[Store]:
    """A store with the machine's clock; `owner` and `ada` exist."""
    store = open_store(database_url)
    for name in ("owner", "ada"):
        add_person(store, name, "annotator", password=PASSWORD)
    yield store
    store.close()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Store]:
    """The same on SQLite, for attacks that do not reach the database."""
    store = open_store(f"sqlite:///{tmp_path / 'local.db'}")
    for name in ("owner", "ada"):
        add_person(store, name, "annotator", password=PASSWORD)
    yield store
    store.close()


@asynccontextmanager
async def serving(store: Store, home: Path, **settings: Any) -> AsyncIterator[str]:
    """The app without its pages, served as `alignloop app` serves it; yields its address."""
    chosen = Settings(home=home, port=0, **settings)
    parts = cast(
        "Parts",
        SimpleNamespace(
            store=store, settings=chosen, vllm=FakeVllm(), facts=None, answers=SimpleNamespace(admission=Admission())
        ),
    )
    config = server_config(chosen, build_app(parts))
    config.lifespan = "off"
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    try:
        yield f"http://{HERE}:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


def client(url: str, address: str = HERE, **cookies: str) -> httpx.AsyncClient:
    """A browser at this address."""
    transport = httpx.AsyncHTTPTransport(local_address=address, limits=httpx.Limits(max_connections=200))
    return httpx.AsyncClient(transport=transport, base_url=url, cookies=cookies, timeout=60)


async def enter(browser: httpx.AsyncClient, name: str, password: str = PASSWORD, **headers: str) -> httpx.Response:
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    return await browser.post("/sign-in", data={"name": name, "password": password}, headers=sent)


@asynccontextmanager
async def guessing(url: str, name: str, address: str = HERE, **headers: str) -> AsyncIterator[list[int]]:
    """Somebody who sends a wrong password for a name every 50 ms; yields the answers' codes, once they are 429."""
    codes: list[int] = []

    async def guess() -> None:
        async with client(url, address) as browser:
            while True:
                codes.append((await enter(browser, name, f"guess {len(codes)}", **headers)).status_code)
                await asyncio.sleep(EVERY_S)

    task = asyncio.create_task(guess())
    try:
        await until(lambda: 429 in codes, 60)
        yield codes
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_guesser_keeps_nobody_else_out(shared: Store, tmp_path: Path) -> None:
    async with serving(shared, tmp_path) as url:
        async with client(url) as known:
            assert (await enter(known, "owner")).status_code == 303
            device = known.cookies[DEVICE_COOKIE]
        async with guessing(url, "owner") as codes:
            for _ in range(3):
                async with client(url, THERE) as elsewhere:
                    assert (await enter(elsewhere, "owner")).status_code == 303, "from another address"
                async with client(url, **{DEVICE_COOKIE: device}) as known:
                    answer = await enter(known, "owner")
                    assert answer.status_code == 303, "in a known browser beside the guesser"
                    device = answer.cookies[DEVICE_COOKIE]
                async with client(url) as other:
                    assert (await enter(other, "ada")).status_code == 303, "another person beside the guesser"
            begun = len(codes)
            await until(lambda: len(codes) > begun)
        assert codes.count(401) <= FREE + 3, "the guesser itself is slowed"


async def test_two_apps_on_one_database_count_together(shared: Store, database_url: str, tmp_path: Path) -> None:
    second = open_store(database_url)
    async with serving(shared, tmp_path) as one, serving(second, tmp_path) as other:
        async with client(one) as first:
            assert (await enter(first, "owner")).status_code == 303
            device, session = first.cookies[DEVICE_COOKIE], first.cookies[COOKIE]
        async with guessing(one, "owner"), client(other) as guesser:
            assert (await enter(guesser, "owner", "another guess")).status_code == 429
            async with client(other, **{DEVICE_COOKIE: device}) as known:
                assert (await enter(known, "owner")).status_code == 303
        async with client(other, **{COOKIE: session}) as browser:
            form = {"old": PASSWORD, "new": "another long one", "again": "another long one"}
            assert (await browser.post("/account/password", data=form)).status_code == 200
        async with client(one, **{COOKIE: session}) as old:
            assert (await old.get("/account")).status_code == 401
    second.close()


async def test_nobody_takes_another_address_by_a_header(local: Store, tmp_path: Path) -> None:
    """Neither to guess on without end, nor to make whoever has that address wait."""
    async with serving(local, tmp_path) as url, client(url) as guesser:
        codes = []
        for number in range(FREE + 3):
            told = {"x_forwarded_for": f"198.51.100.{number}", "forwarded": f"for=198.51.100.{number}"}
            codes.append((await enter(guesser, "owner", "guess", **told)).status_code)
        assert codes[: FREE + 1] == [401] * FREE + [429]
        for _ in range(FREE + 1):
            await enter(guesser, "ada", "guess", x_forwarded_for=THERE)
        async with client(url, THERE) as browser:
            assert (await enter(browser, "ada")).status_code == 303


async def test_behind_a_trusted_proxy_everybody_has_their_own_address(local: Store, tmp_path: Path) -> None:
    async with serving(local, tmp_path, proxies=HERE) as url, client(url) as proxy:
        codes = []
        for number in range(FREE + 3):
            answer = await enter(proxy, "owner", "guess", x_forwarded_for=f"10.9.8.{number}, 203.0.113.7")
            codes.append(answer.status_code)
        assert codes[: FREE + 1] == [401] * FREE + [429], "what the client wrote on the left changes nothing"
        assert (await enter(proxy, "owner", x_forwarded_for="203.0.113.8")).status_code == 303
        proxy.cookies.clear()
        neighbours = [f"2001:db8::{number:x}" for number in range(FREE + 1)]
        codes = [(await enter(proxy, "ada", "guess", forwarded=f'for="[{of}]"')).status_code for of in neighbours]
        assert codes == [401] * FREE + [429], "one IPv6 network is one guesser"
        assert (await enter(proxy, "ada", forwarded='for="[2001:db8:0:1::1]"')).status_code == 303
        async with client(url, THERE) as stranger:
            told = [f"198.51.100.{number}" for number in range(FREE + 1)]
            codes = [(await enter(stranger, "owner", "guess", x_forwarded_for=of)).status_code for of in told]
            assert codes == [401] * FREE + [429], "and who is no proxy is not believed"


async def test_a_crowd_of_wrong_passwords_stalls_neither_the_app_nor_anybody_else(local: Store, tmp_path: Path) -> None:
    async with serving(local, tmp_path) as url:
        async with client(url) as known:
            await enter(known, "owner")
            device, session = known.cookies[DEVICE_COOKIE], known.cookies[COOKIE]
        async with client(url) as attacker:
            crowd = [asyncio.create_task(enter(attacker, f"name {number}", "wrong")) for number in range(150)]
            pending = lambda: sum(not task.done() for task in crowd)  # noqa: E731
            await until(lambda: any(task.done() for task in crowd), 60)
            began = time.monotonic()
            async with (
                client(url, THERE) as elsewhere,
                client(url, **{DEVICE_COOKIE: device}) as known,
                client(url, **{COOKIE: session}) as signed_in,
            ):
                entered = await asyncio.gather(
                    enter(elsewhere, "ada"),
                    enter(known, "owner"),
                    signed_in.get("/account"),
                    signed_in.get("/sign-in"),
                )
            assert [answer.status_code for answer in entered] == [303, 303, 200, 303]
            assert pending() >= 20, f"after {time.monotonic() - began:.1f} s the crowd had been let through first"
            answers = await asyncio.gather(*crowd)
        refused = [answer for answer in answers if answer.status_code == 503]
        assert {answer.status_code for answer in answers} == {401, 503}
        assert refused
        assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)


@pytest.mark.parametrize("typed", ["correct horse battery staple", "m" * 8_000])
async def test_what_is_typed_as_a_name_is_not_kept(
    shared: Store, tmp_path: Path, typed: str, cheap_passwords: None
) -> None:
    async with serving(shared, tmp_path) as url, client(url) as browser:
        for number in range(20):
            assert (await enter(browser, f"{typed}{number}", "wrong")).status_code == 401
    with shared.database.read() as session:
        rows = session.execute(text("SELECT * FROM wrong_password")).all()
    assert len(rows) == 20
    cells = [str(cell) for row in rows for cell in row]
    assert max(map(len, cells)) <= 20
    assert not any(typed[:20] in cell for cell in cells)


Change = Callable[["Store", str], None]


def demoted(store: Store, person_id: str) -> None:
    store.people.set_role(person_id, "chatter")


def disabled_and_enabled(store: Store, person_id: str) -> None:
    store.people.set_disabled(person_id, True)
    store.people.set_disabled(person_id, False)


def key_revoked(store: Store, person_id: str) -> None:
    store.people.revoke_keys(person_id)


@pytest.mark.parametrize(
    ("change", "page", "key"),
    [(demoted, 403, 400), (disabled_and_enabled, 401, 401), (key_revoked, 200, 401)],
    ids=["demoted", "disabled and enabled", "key revoked"],
)
async def test_what_an_operator_changes_counts_at_the_next_request(
    local: Store, tmp_path: Path, change: Change, page: int, key: int
) -> None:
    added = add_person(local, "boss", "operator", password=PASSWORD)
    add_person(local, "other boss", "operator", password=PASSWORD)
    bearer = {"authorization": f"Bearer {added.api_key}"}
    async with serving(local, tmp_path) as url, client(url) as browser:
        await enter(browser, "boss")
        before = await browser.get("/operate/"), await browser.post("/v1/feedback", headers=bearer)
        assert [answer.status_code for answer in before] == [200, 400]
        change(local, added.person.id)
        after = await browser.get("/operate/"), await browser.post("/v1/feedback", headers=bearer)
        assert [answer.status_code for answer in after] == [page, key]
