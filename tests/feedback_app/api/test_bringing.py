"""A file by the page: who may bring one, how large it may be, that it is looked at as it is read, and that it goes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest
from fastapi import FastAPI

from feedback_app.api import bringing
from feedback_app.api.bringing import build_bringing
from feedback_app.api.guard import COOKIE, Guard
from feedback_app.api.limits import Bound, Limits, bounds
from feedback_app.collect.people import add_person, sign_in
from feedback_app.exchange.brought_file import FOLDER
from feedback_app.settings import Settings
from feedback_app.ui.mounts import LARGEST_FILE

if TYPE_CHECKING:
    from feedback_app.parts import Parts
    from feedback_app.store.database import Store

PASSWORD = "a long enough one"
PAIR = json.dumps({"prompt": "Why?", "chosen": "<b>Because.</b>", "rejected": "No."}).encode() + b"\n"
LOOK, IMPORT = "/operate/bring/preview", "/operate/bring/import"


class Bench:
    """The route behind the guard and the limits, as in the app, and people of two roles."""

    def __init__(self, store: Store, home: Path) -> None:
        self.store, self.home = store, home
        self.tokens = {"": ""}
        for name, role in (("ope", "operator"), ("ann", "annotator")):
            add_person(store, name, role, password=PASSWORD)
            self.tokens[name] = sign_in(store, name, PASSWORD, "here").token
        self.settings = Settings(home=home)
        app = FastAPI()
        app.include_router(build_bringing(cast("Parts", SimpleNamespace(store=store, settings=self.settings))))
        app.add_middleware(Guard, store=store)
        self.routes = app
        self.app = Limits(app, store, bounds(self.settings, {}))

    async def send(self, path: str, body: Any, who: str = "ope", headers: Any = None, **how: str) -> httpx.Response:
        cookies = {COOKIE: self.tokens[who]} if who else {}
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app", cookies=cookies) as client:
            return await client.post(path, content=body, params={"name": "votes.jsonl", **how}, headers=headers)

    def left_behind(self) -> list[Path]:
        return list((self.home / FOLDER).iterdir()) if (self.home / FOLDER).exists() else []


@pytest.fixture
def bench(sqlite_store: Store, tmp_path: Path, cheap_passwords: None) -> Bench:
    return Bench(sqlite_store, tmp_path / "home")


async def test_a_file_is_looked_at_then_imported_and_nothing_of_it_stays(bench: Bench) -> None:
    looked = await bench.send(LOOK, PAIR)
    assert looked.status_code == 200
    shown = looked.json()["html"]
    assert "1 comparison of 1 record would be imported" in shown
    assert "&lt;b&gt;Because.&lt;/b&gt;" in shown
    assert "prompt=prompt, chosen=chosen, rejected=rejected" in shown
    assert bench.store.judgements.counts()["total"] == 0
    done = await bench.send(IMPORT, PAIR)
    assert "Imported from votes.jsonl: 1 comparison." in done.json()["html"]
    assert bench.store.judgements.counts()["total"] == 1
    assert "imported before" in (await bench.send(IMPORT, PAIR)).json()["html"]
    assert bench.left_behind() == []


@pytest.mark.parametrize(("who", "status"), [("", 401), ("ann", 403)])
@pytest.mark.parametrize("path", [LOOK, IMPORT])
async def test_only_operators_bring_files(bench: Bench, who: str, status: int, path: str) -> None:
    assert (await bench.send(path, PAIR, who)).status_code == status
    assert bench.store.judgements.counts()["total"] == 0
    assert not (bench.home / FOLDER).exists()


async def test_another_sites_page_brings_nothing(bench: Bench) -> None:
    answer = await bench.send(IMPORT, PAIR, headers={"origin": "http://evil.example"})
    assert answer.status_code == 403
    assert bench.store.judgements.counts()["total"] == 0


async def test_a_file_ends_at_the_bound_announced_or_not_and_leaves_nothing(bench: Bench) -> None:
    for path in (LOOK, IMPORT):
        bound = next(row for row in bounds(bench.settings, {}) if row.paths.fullmatch(path))
        assert (bound.bytes, bound.streamed) == (LARGEST_FILE, True)
    bench.app = Limits(bench.routes, bench.store, (Bound(bound.paths, 1000, streamed=True),))

    async def pieces() -> Any:
        for _ in range(100):
            yield b"x" * 100

    for body in (b"x" * 1001, pieces()):
        answer = await bench.send(LOOK, body)
        assert answer.status_code == 413
        assert "larger than" in answer.json()["error"]
    assert bench.left_behind() == []


async def test_the_columns_and_both_switches_are_those_of_the_command(bench: Bench) -> None:
    body = b'{"ask": "Q?", "first": "One.", "second": "Two.", "who": "first"}\n'
    body += b'{"ask": "R?", "first": "One.", "second": "Two.", "who": "perhaps"}\n'
    refused = await bench.send(LOOK, body)
    assert refused.status_code == 400
    assert "--map" in refused.json()["error"]
    map_ = "prompt=ask,a=first,b=second,winner=who,a_wins=first,b_wins=second"
    shown = (await bench.send(LOOK, body, map=map_)).json()["html"]
    assert "1 comparison of 2 records" in shown
    assert "perhaps" in shown
    assert "<td>2</td>" in shown  # its line
    assert "would end at line 2" in (await bench.send(LOOK, body, map=map_, strict="true")).json()["html"]
    strict = await bench.send(IMPORT, body, map=map_, strict="true")
    assert (strict.status_code, "Line 2" in strict.json()["error"]) == (400, True)
    wrong = await bench.send(LOOK, body, map="prompt=nowhere,a=first,b=second,winner=who")
    assert "Its columns: ask, first, second, who" in wrong.json()["error"]


async def test_where_a_file_lies_here_is_not_said(bench: Bench) -> None:
    for name in ("votes.jsonl", "../../etc/votes.jsonl"):
        answer = await bench.send(LOOK, b"\x00\x01\x02" * 50, name=name)
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("votes.jsonl ")
        assert str(bench.home) not in answer.text


async def test_one_file_is_read_at_a_time_and_the_app_answers_meanwhile(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    begun, go = asyncio.Event(), asyncio.Event()

    def slow(path: Path, wishes: object) -> Any:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(go.wait(), loop).result(30)
        raise bringing.Unavailable("The disk is full. Make room.")

    monkeypatch.setattr(bringing, "preview", slow)
    first = asyncio.create_task(bench.send(LOOK, PAIR))
    await asyncio.wait_for(begun.wait(), 30)
    (own,) = bench.left_behind()
    assert own.stat().st_mode & 0o077 == 0
    second = await bench.send(IMPORT, PAIR)
    assert (second.status_code, second.json()["error"]) == (
        409,
        "Another file is being read. Try again when it is done.",
    )
    go.set()
    assert (await first).json() == {"error": "The disk is full. Make room."}
    assert bench.left_behind() == []


async def test_what_a_killed_process_left_is_removed_with_the_next_file(bench: Bench) -> None:
    import os

    left = bench.home / FOLDER / "left"
    left.mkdir(parents=True)
    (left / "votes.jsonl").write_bytes(PAIR)
    os.utime(left, (0, 0))
    await bench.send(LOOK, PAIR)
    assert bench.left_behind() == []
