"""A real app process on loopback, without vLLM: what attacks on its doors are tried on."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[3]
PASSWORD = "a long enough one"
START_S = 120.0


class AppProcess:
    """`alignloop app` in a home of its own, with an operator and nobody else, under the widest umask."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.home, self.port, self.log = folder / "home", free_port(), folder / "app.log"
        self.temp = folder / "temp"
        self.temp.mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ALIGNLOOP_", "DATABASE_"))}
        env = kept | {
            "ALIGNLOOP_HOME": str(self.home),
            "ALIGNLOOP_PORT": str(self.port),
            "ALIGNLOOP_VLLM_PORT": str(free_port()),
            "ALIGNLOOP_OPERATOR_PASSWORD": PASSWORD,
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(self.temp),
            **settings,
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "feedback_app", "app"], stdout=log, stderr=log, env=env, cwd=folder, umask=0
            )
        self.url = f"http://127.0.0.1:{self.port}"

    def browser(self, **options: object) -> httpx.Client:
        """A client that is signed in as the operator, once the pages are loaded."""
        client = httpx.Client(base_url=self.url, timeout=60, trust_env=False, **options)  # type: ignore[arg-type]
        deadline = time.monotonic() + START_S
        signed_in = False
        while True:
            with contextlib.suppress(httpx.TransportError):
                if not signed_in:
                    sent = {"name": "operator", "password": PASSWORD}
                    signed_in = client.post("/sign-in", data=sent).status_code == 303
                if client.get("/config").headers["content-type"].startswith("application/json"):
                    return client
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.1)

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def key(self, browser: httpx.Client) -> str:
        """A new API key of the operator's."""
        page = browser.post("/account/key").text
        return page.split('id="api-key">')[1].split("<")[0]

    def said(self) -> str:
        """Its log so far."""
        return self.log.read_text(errors="replace")

    def memory(self) -> int:
        """Its resident memory, bytes."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def temporary_bytes(self) -> int:
        """What lies in its temporary folders."""
        return sum(path.stat().st_size for path in self.temp.rglob("*") if path.is_file())


@contextmanager
def running_app(folder: Path, **settings: str) -> Iterator[AppProcess]:
    """Run the app while the block runs."""
    app = AppProcess(folder, **settings)
    try:
        yield app
    finally:
        app.process.terminate()
        try:
            app.process.wait(20)
        except subprocess.TimeoutExpired:
            app.process.kill()
            app.process.wait()
