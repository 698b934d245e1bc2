"""`alignloop up` while its database is away: nobody ends, nobody is started again, and all go on afterwards."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.feedback_app.processes.up import ROOT, Up
from tests.ports import free_port
from tests.postgres import ADVICE, PrivatePostgres, binaries
from tests.waiting import wait_until as until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
AWAY_S = 6.0


@pytest.fixture
def vllm(tmp_path: Path) -> Iterator[str]:
    """The address of a fake vLLM in a process of its own."""
    port = free_port()
    program = ROOT / "tests" / "serving" / "fake_vllm.py"
    process = subprocess.Popen([sys.executable, str(program), str(port)], stdout=subprocess.DEVNULL)
    yield f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


@contextmanager
def up_with(folder: Path, vllm: str, database: str) -> Iterator[Up]:
    """`alignloop up` on a vLLM that runs elsewhere, so that it has two children: the app and the worker."""
    up = Up(folder / "home", free_port(), free_port(), ALIGNLOOP_VLLM_URL=vllm, DATABASE_URL=database)
    try:
        yield up
    finally:
        members = up.family() if up.process.poll() is None else []
        up.process.kill()
        up.process.wait()
        for member in members:
            if member.is_running():
                member.kill()


def running(up: Up) -> dict[str, psutil.Process]:
    found = {name: up.child(name) for name in ("app", "worker")}
    return {name: child for name, child in found.items() if child is not None}


def ready_lines(up: Up, child: str) -> int:
    return sum(line.split()[:2] == [child, "ready"] for line in up.said.read_text().split("\n"))


def begun(up: Up) -> dict[str, int]:
    """The process numbers of the children, once all is ready."""
    until(lambda: "Ready after" in up.said.read_text(), 120, "the start")
    return {name: child.pid for name, child in running(up).items()}


def lives_on(up: Up, before: dict[str, int]) -> None:
    assert up.process.poll() is None, up.said.read_text()
    until(lambda: up.get("/healthz")[0] == 200, 30, "an answer")
    assert {name: child.pid for name, child in running(up).items()} == before
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(30) == 0
    said = up.said.read_text()
    assert "Stopped." in said
    assert "Traceback" not in said


def test_up_and_its_children_outlive_a_restart_of_postgresql(tmp_path: Path, vllm: str) -> None:
    if os.environ.get("ALIGNLOOP_TEST_SKIP_POSTGRES") == "1":
        pytest.skip("ALIGNLOOP_TEST_SKIP_POSTGRES=1")
    folder = binaries()
    if folder is None:
        pytest.fail(ADVICE, pytrace=False)
    server = PrivatePostgres(folder)
    try:
        server.start()
        with up_with(tmp_path, vllm, server.new_database()) as up:
            before = begun(up)
            server.halt()
            time.sleep(AWAY_S)  # long enough for every process to look at the database several times
            assert up.process.poll() is None, up.said.read_text()
            until(lambda: "worker  waits for the database" in up.said.read_text(), 30, "the sentence")
            server.resume()
            until(lambda: ready_lines(up, "worker") == 2, 60, "the worker's return")
            lives_on(up, before)
    finally:
        server.stop()


def test_up_and_its_children_outlive_a_locked_sqlite_file(tmp_path: Path, vllm: str) -> None:
    path = tmp_path / "store" / "alignloop.db"
    with up_with(tmp_path, vllm, f"sqlite:///{path}") as up:
        before = begun(up)
        holder = sqlite3.connect(path, timeout=30, isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        time.sleep(AWAY_S)
        assert up.process.poll() is None, up.said.read_text()
        holder.execute("ROLLBACK")
        holder.close()
        lives_on(up, before)
