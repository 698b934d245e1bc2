"""A real app process before a real vLLM, with people who may ask it: for tests of what many people do at once."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.ports import free_port

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "data" / "model"
PASSWORD = "a long enough password"
START_S = 180.0
BASE_HASH = "b"
NAMES = ("base", f"base-{BASE_HASH}")  # what vLLM must answer to for the base of these people


@dataclass(frozen=True)
class RealApp:
    """An app that answers at `url`; its people's keys by name, each with the password `PASSWORD`."""

    url: str
    pid: int
    database: str
    keys: dict[str, str]


@contextlib.contextmanager
def real_app(vllm_url: str, folder: Path, people: Sequence[str], **settings: str) -> Iterator[RealApp]:
    """Run `alignloop app` with `policy` meaning the base that this vLLM serves; `settings` are ALIGNLOOP_ variables."""
    database, port = f"sqlite:///{folder / 'alignloop.db'}", free_port()
    keys = _people(database, people)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ALIGNLOOP_")}
    environment |= {
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": database,
        "ALIGNLOOP_HOME": str(folder),
        "ALIGNLOOP_MODEL": str(SHIPPED),
        "ALIGNLOOP_PORT": str(port),
        "ALIGNLOOP_VLLM_PORT": str(urlsplit(vllm_url).port),
        **{f"ALIGNLOOP_{name.upper()}": value for name, value in settings.items()},
    }
    url = f"http://127.0.0.1:{port}"
    with (folder / "app.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "feedback_app", "app"], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
    try:
        _ready(process, f"{url}/readyz", folder / "app.log")
        yield RealApp(url, process.pid, database, keys)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _people(database: str, names: Sequence[str]) -> dict[str, str]:
    """A database in which the base is served to these chatters; their keys."""
    from argon2 import PasswordHasher

    from feedback_app.collect.people import new_key
    from feedback_app.store.database import open_store
    from feedback_app.store.tables import Version

    hashed = PasswordHasher(1, 8, 1).hash(PASSWORD)  # a hundred at full cost would take a minute
    store = open_store(database)
    store.versions.add(
        Version(name="base", kind="base", form="full", path="", base_hash=BASE_HASH, created_at=store.now())
    )
    store.versions.publish("base", "first")
    keys = {name: new_key(store, store.people.add(name, "chatter", hashed)) for name in names}
    store.close()
    return keys


def _ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.1)
    raise RuntimeError(f"the app did not start:\n{log.read_text(errors='replace')[-2000:]}")
