"""For any bytes at all an import ends with a sentence, by command and by page, and the app lives."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedback_app.api.bringing import build_bringing
from feedback_app.api.guard import COOKIE, Guard
from feedback_app.collect.people import add_person, sign_in
from feedback_app.commands.app import run
from feedback_app.exchange.brought_file import FOLDER
from feedback_app.processes.output import Output
from feedback_app.settings import Settings
from feedback_app.store.database import open_store

if TYPE_CHECKING:
    from feedback_app.parts import Parts
    from feedback_app.store.database import Store

pytestmark = pytest.mark.slow

PASSWORD = "a long enough one"
CASES = Path(__file__).resolve().parents[2] / "cases" / "import"
SEEDS = [file.read_bytes() for file in sorted(CASES.iterdir()) if file.is_file() and file.stat().st_size < 20_000]
WORDS = st.sampled_from(
    ["prompt", "chosen", "rejected", "messages", "role", "content", "label", "rank", "responses", "winner", "a", "type"]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def bent(draw: st.DrawFn) -> bytes:
    """A real file with a few bytes changed, cut off, doubled or packed."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 4))):
        if data:
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    cut = bytes(data[: draw(st.integers(0, len(data)))]) if draw(st.booleans()) else bytes(data)
    return gzip.compress(cut) if draw(st.integers(0, 9)) == 0 else cut


RECORDS = st.lists(VALUES, max_size=3).map(lambda rows: "\n".join(map(json.dumps, rows)).encode())
FILES = st.one_of(st.binary(max_size=200), bent(), RECORDS, VALUES.map(lambda value: json.dumps(value).encode()))
SWITCHES = st.lists(st.sampled_from(["--strict", "--text-only"]), unique=True)
MAPS = st.sampled_from(["", "", "prompt=prompt,a=chosen,b=rejected,winner=label", "answer=a.0", "=,", "prompt=\x00"])


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path / 'alignloop.db'}"
    open_store(url).close()
    monkeypatch.setenv("ALIGNLOOP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATABASE_URL", url)
    return url


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=FILES, switches=SWITCHES, map_=MAPS, command=st.sampled_from(["import", "import", "gold"]))
def test_any_bytes_end_with_a_sentence_by_command(
    database: str, tmp_path: Path, data: bytes, switches: list[str], map_: str, command: str
) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(data)
    out = io.StringIO()
    code = run([command, str(file), *switches, *(["--map", map_] if map_ else []), "--json"], Output(True, out))
    said = json.loads(out.getvalue())
    assert code in (0, 1, 2)
    if code:
        assert said["error"].strip()
        assert "Traceback" not in said["error"]
        assert "\n" not in said["error"]
    else:
        assert sum(said.get("imported", {}).values()) + said.get("added", 0) or said["skipped"]


@pytest.fixture
def site(sqlite_store: Store, tmp_path: Path, cheap_passwords: None) -> tuple[FastAPI, str, Path]:
    """The route behind the guard, an operator's cookie, and the home."""
    home = tmp_path / "home"
    add_person(sqlite_store, "ope", "operator", password=PASSWORD)
    app = FastAPI()
    app.include_router(build_bringing(cast("Parts", SimpleNamespace(store=sqlite_store, settings=Settings(home=home)))))
    app.add_middleware(Guard, store=sqlite_store)
    return app, sign_in(sqlite_store, "ope", PASSWORD, "here").token, home


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=FILES, step=st.sampled_from(["preview", "import"]), map_=MAPS, name=st.text(max_size=20), strict=st.booleans()
)
def test_any_bytes_end_with_a_sentence_by_page(
    site: tuple[FastAPI, str, Path], data: bytes, step: str, map_: str, name: str, strict: bool
) -> None:
    app, token, home = site

    async def sent() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)  # an exception of the app would be raised here
        async with httpx.AsyncClient(transport=transport, base_url="http://app", cookies={COOKIE: token}) as client:
            how = {"name": name.encode("utf-8", "replace").decode(), "map": map_, "strict": str(strict).lower()}
            return await client.post(f"/operate/bring/{step}", content=data, params=how)

    answer = asyncio.run(sent())
    said = answer.json()
    assert set(said) in ({"html"}, {"error"})
    assert ("error" in said) == (answer.status_code >= 400)
    if "error" in said:
        assert answer.status_code == 400, said
        assert said["error"].strip()
        assert "Traceback" not in said["error"]
        assert str(home) not in said["error"]
    assert not home.exists() or list((home / FOLDER).iterdir()) == []
