"""`alignloop up` with the real parts: there within seconds, mends itself, gone within ten seconds."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.feedback_app.processes.up import Up
from tests.ports import free_port
from tests.waiting import wait_until as until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
START_S = 300.0  # vLLM on a machine that is busy with something else


@contextmanager
def started(folder: Path) -> Iterator[Up]:
    up = Up(folder / "home", free_port(), free_port())
    members: list[psutil.Process] = []
    try:
        yield up
    finally:
        if up.process.poll() is None:
            members = up.family()
            up.process.kill()
        for member in members:
            if member.is_running():
                member.kill()


def gone(members: list[psutil.Process]) -> bool:
    return not any(member.is_running() and member.status() != psutil.STATUS_ZOMBIE for member in members)


def test_up_serves_mends_what_is_killed_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with started(tmp_path) as up:
        until(lambda: up.child("app"), 60, "the start of the app")
        until(lambda: up.get("/healthz")[0] == 200, 30, "the first answer")
        status, page = up.get("/")
        assert status in (200, 303, 401)
        assert page or status == 303
        assert up.get("/readyz")[0] == 503  # it says so while the model loads
        until(lambda: up.get("/readyz")[0] == 200, START_S, "the model")
        said = up.said.read_text()
        assert said.count("password") == 1
        assert f"http://127.0.0.1:{up.port}" in said

        second = up.command("up")
        assert second.returncode == 1
        assert f"Port {up.port}" in second.stderr
        assert "ALIGNLOOP_PORT" in second.stderr

        for name in ("app", "worker"):
            before = up.child(name)
            assert before is not None
            before.kill()
            until(lambda name=name, pid=before.pid: (c := up.child(name)) and c.pid != pid, 30, f"a new {name}")
        until(lambda: up.get("/readyz")[0] == 200, 60, "the app's return")

        done = up.command("status", "--json")
        assert json.loads(done.stdout)["ready"] is True

        members = up.family()
        assert len(members) >= 4
        began = time.monotonic()
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(30) == 0
        assert time.monotonic() - began < 10
        assert gone(members)
        assert "Stopped." in up.said.read_text()


def test_when_up_is_killed_everything_under_it_ends(tmp_path: Path) -> None:
    with started(tmp_path) as up:
        until(lambda: (up.home / "vllm.pid").is_file() and len(up.family()) >= 4, 90, "the start of vLLM")
        members = up.family()
        up.process.kill()
        up.process.wait(10)
        until(lambda: gone(members), 20, "the end of everything")
