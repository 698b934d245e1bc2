"""Lineage as pages, over HTTP behind the guard: everybody their own, an operator anybody's and every version's."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import httpx
import pytest
from fastapi import FastAPI

from feedback_app.api.guard import COOKIE, Guard
from feedback_app.api.lineage import build_lineage
from feedback_app.collect.people import sign_in
from feedback_app.domain.lineage import Click, Dataset, VersionLineage
from feedback_app.loop.controls import LoopControls
from feedback_app.loop.lineage import version_lineage
from feedback_app.loop.snapshot_round import freeze
from feedback_app.settings import Settings
from feedback_app.ui import lineage_view
from tests.feedback_app.loop.parts import compared, made_by, serve_base

if TYPE_CHECKING:
    from feedback_app.parts import Parts
    from feedback_app.store.database import Store

pytestmark = pytest.mark.slow

PASSWORD = "a long enough one"


@pytest.fixture
async def site(sqlite_store: Store, tmp_path: Path, cheap_passwords: None) -> AsyncIterator[httpx.AsyncClient]:
    """Pages over a store in which Ann's and Bob's comparisons made `policy-0001`."""
    from feedback_app.collect.people import add_person

    store = sqlite_store
    parts = SimpleNamespace(
        store=store,
        loop=LoopControls(store, Settings()),
    )
    serve_base(store)
    for name, role in (("boss", "operator"), ("ann", "annotator"), ("bob", "annotator"), ("<b>chi", "chatter")):
        add_person(store, name, role, password=PASSWORD)
    for number in range(6):
        person = store.people.by_name("ann" if number % 3 else "bob")
        assert person is not None
        compared(store, person, number)
    turn = store.rounds.add("dpo", None, 0, {"min_pairs": 1})
    freeze(store, turn, tmp_path)
    turn = store.rounds.update(turn.id, status="passed")  # type: ignore[arg-type]
    made_by(store, "policy-0001", turn)
    with store.database.write() as session:
        version = store.versions.get("policy-0001")
        assert version is not None
        version.parent = "base"
        session.merge(version)
    app = FastAPI()
    app.include_router(build_lineage(cast("Parts", parts)))
    app.add_middleware(Guard, store=store)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://app") as client:
        yield client


def enter(site: httpx.AsyncClient, store: Store, name: str) -> None:
    site.cookies.set(COOKIE, sign_in(store, name, PASSWORD, "here", 3600).token)


async def test_an_operator_sees_which_clicks_made_a_version(site: httpx.AsyncClient, sqlite_store: Store) -> None:
    enter(site, sqlite_store, "boss")
    page = (await site.get("/lineage/version/policy-0001")).text
    version = sqlite_store.versions.get("policy-0001")
    assert version is not None
    found = version_lineage(sqlite_store, version)
    assert found.clicks
    assert re.findall(r'<tr id="j-([^"]+)">', page) == [click.judgement for click in
        sorted(found.clicks, key=lambda each: (-each.at, each.judgement))]  # fmt: skip
    assert f'<td>pairs</td><td class="number">{found.rows["pairs"]}</td>' in page
    assert '<a href="/lineage/version/base">base</a>' in page
    assert '<a href="/lineage/person/ann">ann</a></td><td class="number">4</td>' in page
    assert "No judgement made it" in (await site.get("/lineage/version/base")).text


async def test_an_operator_finds_versions_and_people_by_name(site: httpx.AsyncClient, sqlite_store: Store) -> None:
    enter(site, sqlite_store, "boss")
    for name, path in (("policy-0001", "/lineage/version/policy-0001"), ("<b>chi", "/lineage/person/%3Cb%3Echi")):
        answer = await site.get("/lineage/find", params={"name": f" {name} "})
        assert (answer.status_code, answer.headers["location"]) == (303, path)
        assert (await site.get(path)).status_code == 200
    for path in ("/lineage/find?name=nobody", "/lineage/person/nobody", "/lineage/version/nobody"):
        lost = await site.get(path)
        assert lost.status_code == 404
        assert 'role="alert"' in lost.text
        assert 'value="nobody"' in lost.text  # what was asked is kept


async def test_an_annotator_sees_their_own_and_nobody_elses(site: httpx.AsyncClient, sqlite_store: Store) -> None:
    enter(site, sqlite_store, "ann")
    page = (await site.get("/lineage")).text
    assert "4 judgements of yours count now" in page
    assert "policy-0001" in page
    assert "/lineage/version/" not in page
    assert "bob" not in page
    for path in ("/lineage/version/policy-0001", "/lineage/person/bob", "/lineage/person/ann", "/lineage/find?name=x"):
        refused = await site.get(path)
        assert refused.status_code == 403
        assert "bob" not in refused.text
    site.cookies.clear()
    assert (await site.get("/lineage")).status_code == 401


async def test_who_is_set_aside_is_told_that_no_new_round_uses_what_they_said(
    site: httpx.AsyncClient, sqlite_store: Store
) -> None:
    ann = sqlite_store.people.by_name("ann")
    assert ann is not None
    sqlite_store.people.set_aside(ann.id, True)
    enter(site, sqlite_store, "ann")
    page = (await site.get("/lineage")).text
    assert "4 judgements of yours are set aside by an operator: no new round uses them." in page
    assert "policy-0001" in page


async def test_who_withdrew_is_named_so_and_names_are_text(site: httpx.AsyncClient, sqlite_store: Store) -> None:
    bob = sqlite_store.people.by_name("bob")
    assert bob is not None
    sqlite_store.withdrawals.withdraw(bob.id)
    enter(site, sqlite_store, "boss")
    assert "Trained on judgements of one person who withdrew." in (await site.get("/lineage/version/policy-0001")).text
    assert "bob withdrew" in (await site.get("/lineage/person/bob")).text
    page = (await site.get("/lineage/person/<b>chi")).text
    assert "<b>" not in page
    assert "No round has used any yet" in page


def test_many_judgements_are_shown_a_page_at_a_time() -> None:
    clicks = [
        Click(f"j{number:03d}", person="ann", kind="rank", at=float(number), rows={"pairs": 3}) for number in range(250)
    ]
    found = VersionLineage(
        version="v/1",
        serving=True,
        flag="",
        ancestors=[],
        parent=None,
        round=3,
        snapshot=Dataset("s", hash="a" * 64, folder="f"),
        people=[],
        rows={"pairs": 750},
        judgements=len(clicks),
        clicks=clicks,
    )
    first, last = lineage_view.version_view(found), lineage_view.version_view(found, 200)
    assert re.findall(r'<tr id="j-(j\d+)">', first)[::99] == ["j249", "j150"]
    assert len(re.findall(r"<tr id=", last)) == 50
    assert 'href="/lineage/version/v%2F1?start=100">Older' in first
    assert "Newer" not in first
    assert 'href="/lineage/version/v%2F1?start=100">Newer' in last
    assert "Older" not in last
    assert "201 to 250 of 250 judgements" in last
