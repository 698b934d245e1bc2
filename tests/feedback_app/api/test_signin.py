"""Signing in and out, one's own password and key, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import httpx
import pytest
from fastapi import FastAPI

from feedback_app.api.guard import COOKIE, DEVICE_COOKIE, Guard
from feedback_app.api.signin import build_signin, safe_next
from feedback_app.collect.people import add_person, person_of_key, person_of_token
from feedback_app.settings import Settings

if TYPE_CHECKING:
    from feedback_app.parts import Parts
    from feedback_app.store.database import Store

PASSWORD = "a long enough one"


@pytest.fixture
async def browser(sqlite_store: Store, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of sign-in and account, behind the guard; `ada` exists."""
    async with client_of(sqlite_store, Settings(home=tmp_path)) as client:
        yield client


def client_of(store: Store, settings: Settings) -> httpx.AsyncClient:
    """A client of sign-in and account, behind the guard; makes `ada`."""
    parts = cast("Parts", SimpleNamespace(store=store, settings=settings))
    app = FastAPI()
    app.include_router(build_signin(parts))
    app.add_middleware(Guard, store=store)
    add_person(store, "ada", "annotator", password=PASSWORD)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://app")


async def enter(browser: httpx.AsyncClient, password: str = PASSWORD, **more: str) -> httpx.Response:
    return await browser.post("/sign-in", data={"name": "ada", "password": password, **more})


async def test_a_right_password_sets_a_cookie_that_scripts_and_other_sites_cannot_use(
    browser: httpx.AsyncClient,
) -> None:
    answer = await enter(browser, next="/compare/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/compare/")
    cookies = [cookie.lower() for cookie in answer.headers.get_list("set-cookie")]
    assert [cookie.split("=")[0] for cookie in cookies] == [COOKIE, DEVICE_COOKIE]
    for cookie in cookies:
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert "secure" not in cookie
    assert (await browser.get("/account")).status_code == 200


async def test_behind_https_both_cookies_are_secure(sqlite_store: Store, tmp_path: Path) -> None:
    async with client_of(sqlite_store, Settings(home=tmp_path, secure_cookies=True)) as browser:
        cookies = (await enter(browser)).headers.get_list("set-cookie")
    assert ["Secure" in cookie for cookie in cookies] == [True, True]


async def test_a_wrong_password_keeps_the_name_and_says_so(browser: httpx.AsyncClient) -> None:
    answer = await enter(browser, "wrong one entirely")
    assert answer.status_code == 401
    assert 'value="ada"' in answer.text
    assert "wrong" in answer.text
    assert "set-cookie" not in answer.headers


async def test_repeated_wrong_passwords_are_slowed(browser: httpx.AsyncClient) -> None:
    codes = [(await enter(browser, "wrong one entirely")).status_code for _ in range(6)]
    assert codes == [401] * 5 + [429]
    late = await enter(browser)
    assert (late.status_code, late.headers["retry-after"]) == (429, "1"), "even the right one waits"
    assert "Try again in 1 s" in late.text


async def test_a_name_of_any_length_is_wrong_and_is_not_sent_back_whole(browser: httpx.AsyncClient) -> None:
    answer = await browser.post("/sign-in", data={"name": "x" * 100_000, "password": "y"})
    assert answer.status_code == 401
    assert len(answer.text) < 10_000


@pytest.mark.parametrize("path", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "/a\nb"])
def test_signing_in_leads_only_to_this_host(path: str) -> None:
    assert safe_next(path) == "/"


async def test_markup_in_a_name_is_shown_as_text(browser: httpx.AsyncClient) -> None:
    answer = await browser.post("/sign-in", data={"name": '"><script>', "password": "x"})
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;" in answer.text


async def test_signing_out_ends_the_session_on_the_server(browser: httpx.AsyncClient, sqlite_store: Store) -> None:
    await enter(browser)
    token = browser.cookies[COOKIE]
    assert (await browser.post("/sign-out")).status_code == 303
    browser.cookies.set(COOKIE, token)
    assert (await browser.get("/account")).status_code == 401


async def test_changing_the_password_needs_the_present_one_twice_the_new_one(browser: httpx.AsyncClient) -> None:
    await enter(browser)
    new = "another long one"
    wrong = {"old": "not the present", "new": new, "again": new}
    assert "present password is wrong" in (await browser.post("/account/password", data=wrong)).text
    differ = {"old": PASSWORD, "new": new, "again": "yet another one"}
    assert "differ" in (await browser.post("/account/password", data=differ)).text
    short = {"old": PASSWORD, "new": "short", "again": "short"}
    assert "at least" in (await browser.post("/account/password", data=short)).text
    right = {"old": PASSWORD, "new": new, "again": new}
    before = dict(browser.cookies)
    assert "The password is changed" in (await browser.post("/account/password", data=right)).text
    assert (await browser.get("/account")).status_code == 200, "this browser stays signed in"
    assert all(browser.cookies[name] != before[name] for name in (COOKIE, DEVICE_COOKIE)), "under new tokens"
    assert (await enter(browser, new)).status_code == 303


async def test_a_changed_password_ends_every_other_session_and_the_old_token_of_this_one(
    browser: httpx.AsyncClient, sqlite_store: Store
) -> None:
    await enter(browser)
    elsewhere = browser.cookies[COOKIE]
    await enter(browser)
    here = browser.cookies[COOKIE]
    new = "another long one"
    await browser.post("/account/password", data={"old": PASSWORD, "new": new, "again": new})
    valid = [person_of_token(sqlite_store, token) is not None for token in (elsewhere, here, browser.cookies[COOKIE])]
    assert valid == [False, False, True]


@pytest.mark.parametrize("asked", [False, True])
async def test_a_changed_password_ends_the_key_when_asked(
    browser: httpx.AsyncClient, sqlite_store: Store, asked: bool
) -> None:
    await enter(browser)
    key = (await browser.post("/account/key")).text.split('id="api-key">')[1].split("<")[0]
    form = {"old": PASSWORD, "new": "another long one", "again": "another long one"} | (
        {"revoke_keys": "on"} if asked else {}
    )
    answer = await browser.post("/account/password", data=form)
    assert ("API key no longer works" in answer.text) == asked
    assert (person_of_key(sqlite_store, key) is None) == asked


async def test_signing_out_keeps_the_browser_known(browser: httpx.AsyncClient) -> None:
    await enter(browser)
    device = browser.cookies[DEVICE_COOKIE]
    await browser.post("/sign-out")
    assert browser.cookies[DEVICE_COOKIE] == device


async def test_a_new_key_is_shown_once_and_ends_the_one_before(browser: httpx.AsyncClient, sqlite_store: Store) -> None:
    await enter(browser)
    keys = [(await browser.post("/account/key")).text.split('id="api-key">')[1].split("<")[0] for _ in range(2)]
    assert person_of_key(sqlite_store, keys[0]) is None
    person = person_of_key(sqlite_store, keys[1])
    assert person is not None
    assert person.name == "ada"
    assert keys[1] not in (await browser.get("/account")).text
