"""A disk that is full, or read-only, in earnest: a small file system of memory holds the database."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from feedback_app.collect import reserving
from feedback_app.store.reservations import SPARE_BYTES

if TYPE_CHECKING:
    from feedback_app.store.database import Store
    from tests.fakes import Clock
    from tests.feedback_app.api.conftest import Site

pytestmark = pytest.mark.slow

Ask = Callable[[str], AsyncOpenAI]
HELLO: Any = [{"role": "user", "content": "hello there"}]
SPARED = "feedback_app.store.reservations.SPARE_BYTES"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, a little larger than what is spared."""
    folder = tmp_path / "disk"
    folder.mkdir()
    size = SPARE_BYTES + 8 * 2**20
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system may be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def store(disk: Path, clock: Clock) -> Iterator[Store]:
    """A store on that disk."""
    from feedback_app.store.database import open_store

    store = open_store(f"sqlite:///{disk / 'alignloop.db'}", clock)
    yield store
    store.close()


@pytest.fixture(autouse=True)
def asked_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feedback_app.api.health.PROBE_EVERY_S", 0.0)


def fill(disk: Path, leaving: int = 0) -> Path:
    """Write a file until so many bytes are free; returns it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (2**20, 2**12):
            block = bytes(size)
            try:
                while _free(disk) - size >= leaving:
                    file.write(block)
            except OSError:
                continue
    return filler


def remount(disk: Path, how: str) -> None:
    """Make the file system read-only (ro) or writable again (rw)."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


def _free(disk: Path) -> int:
    state = os.statvfs(disk)
    return state.f_bavail * state.f_frsize


async def ready(site: Site) -> tuple[int, str]:
    async with httpx.AsyncClient(trust_env=False) as client:
        reply = await client.get(site.url + "/readyz")
    return reply.status_code, reply.json()["waiting_for"]


async def refused(site: Site, ask: Ask, words: str) -> None:
    """Nobody is answered, in one piece or streamed, and nobody is told a ticket; `/readyz` says so."""
    asked, running = len(site.fake.requests), site.inflight.counts()
    for stream in (False, True):
        with pytest.raises(openai.InternalServerError, match=words) as caught:
            await ask("chi").chat.completions.create(model="policy", messages=HELLO, stream=stream)
        assert caught.value.status_code == 503
        assert "x-alignloop-ticket" not in caught.value.response.headers
        assert site.inflight.counts() == running
    assert len(site.fake.requests) <= asked + 1  # of the streamed one alone, which is asked meanwhile
    status, waiting_for = await ready(site)
    assert status == 503
    assert re.search(words, waiting_for)
    assert str(Path(str(site.store.database.engine.url.database)).parent) not in waiting_for  # a stranger asks


async def answered(site: Site, ask: Ask) -> None:
    raw = await ask("chi").chat.completions.with_raw_response.create(model="policy", messages=HELLO)
    assert site.store.tasks.ticket(raw.headers["x-alignloop-ticket"]) is not None
    assert await ready(site) == (200, "")


async def test_before_the_disk_is_full_nobody_new_is_answered_and_who_is_gets_what_was_promised(
    site: Site, ask: Ask, disk: Path
) -> None:
    await answered(site, ask)
    site.fake.hold = asyncio.Event()
    raw = await ask("chi").chat.completions.with_raw_response.create(model="policy", messages=HELLO, stream=True)
    filler = fill(disk, leaving=SPARE_BYTES - 2**20)
    await refused(site, ask, "its disk is full")
    site.fake.hold.set()
    [chunk async for chunk in raw.parse()]
    assert site.store.tasks.ticket(raw.headers["x-alignloop-ticket"]) is not None
    filler.unlink()
    await answered(site, ask)


async def test_where_the_disk_is_full_to_the_last_byte_nobody_is_answered(
    site: Site, ask: Ask, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await answered(site, ask)
    monkeypatch.setattr(SPARED, 0)  # so that SQLite itself finds out
    filler = fill(disk)
    await refused(site, ask, "its disk is full")
    filler.unlink()
    await answered(site, ask)


async def test_where_the_disk_is_read_only_nobody_is_answered(site: Site, ask: Ask, disk: Path) -> None:
    await answered(site, ask)
    site.store.close()  # a disk with files open for writing cannot be made read-only
    remount(disk, "ro")
    await refused(site, ask, "The database cannot be (written|reached)")
    remount(disk, "rw")
    await answered(site, ask)


async def test_a_disk_that_fills_while_an_answer_is_on_its_way_is_said_at_its_end(
    site: Site, ask: Ask, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SPARED, 0)
    monkeypatch.setattr(reserving, "WAIT_S", 0.0)
    site.fake.hold = asyncio.Event()
    raw = await ask("chi").chat.completions.with_raw_response.create(model="policy", messages=HELLO, stream=True)
    filler = fill(disk)
    site.fake.hold.set()
    with pytest.raises(openai.APIError, match="could not be stored, so its ticket cannot be judged"):
        [chunk async for chunk in raw.parse()]
    filler.unlink()
    async with httpx.AsyncClient(trust_env=False) as client:
        reply = await client.post(
            f"{site.url}/v1/feedback",
            json={"ticket": raw.headers["x-alignloop-ticket"], "verdict": "good"},
            headers={"Authorization": f"Bearer {site.keys['chi']}"},
        )
    assert reply.status_code == 409
    assert list(site.store.judgements.export()) == []
