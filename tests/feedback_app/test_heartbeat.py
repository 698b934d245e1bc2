"""One rule for whether a process lives: late is not stopped, and stopped is not late."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from feedback_app.errors import Unavailable
from feedback_app.heartbeat import LATE_S, STOPPED_S, WORKER, Heart, Life, life, look, written_by
from feedback_app.store.database import Store
from feedback_app.store.tables import Beat
from tests.fakes import Clock
from tests.waiting import wait_until as until

ROOT = Path(__file__).resolve().parents[2]
BEATING = """
import sys, time
from feedback_app.heartbeat import Heart
from feedback_app.store.database import open_store
Heart(open_store(sys.argv[1]), "worker", dict, every_s=0.05).start()
print("beats", flush=True)
while True:
    sum(range(10**6))  # a main thread that never waits, as an event loop which is blocked
"""


@pytest.fixture
def beating(database: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", BEATING, database], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    assert process.stdout.readline() == "beats\n"
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'alignloop.db'}"


class Late:
    """A store's clock that a test may put ahead."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@pytest.mark.slow
def test_a_process_that_computes_beats_one_that_is_stopped_is_late_and_one_that_is_killed_is_known_at_once(
    beating: subprocess.Popen[str], database: str
) -> None:
    from feedback_app.store.database import open_store

    clock = Late()
    store = open_store(database, clock)
    try:
        until(lambda: look(store, WORKER) is Life.ALIVE)
        (first,) = store.heartbeats.all()
        until(lambda: store.heartbeats.all()[0].at > first.at)  # its main thread computes all the time
        beating.send_signal(signal.SIGSTOP)
        time.sleep(0.2)  # a beat may be on its way
        clock.ahead_s = LATE_S + 1
        assert look(store, WORKER) is Life.LATE
        clock.ahead_s = 3600.0
        assert look(store, WORKER) is Life.LATE  # it is there, and may come back after any time
        beating.send_signal(signal.SIGCONT)
        clock.ahead_s = 0.0
        until(lambda: look(store, WORKER) is Life.ALIVE)
        beating.kill()
        beating.wait()
        assert store.now() - store.heartbeats.all()[0].at < LATE_S
        assert look(store, WORKER) is Life.STOPPED
    finally:
        store.close()


def test_a_beat_from_elsewhere_is_believed_by_time_alone() -> None:
    for state in ({}, {"process": {"place": "another machine", "pid": 1, "started": 5}}, {"process": "?"}):
        beat = Beat(name=WORKER, at=1000.0, state=state)
        assert life(beat, 1000.0 + LATE_S - 1) is Life.ALIVE
        assert life(beat, 1000.0 + LATE_S) is Life.LATE
        assert life(beat, 1000.0 + STOPPED_S) is Life.STOPPED
        assert not written_by(beat, 1)
    assert life(None, 0.0) is Life.STOPPED


def test_a_number_that_another_process_has_now_is_not_the_one_that_beat(sqlite_store: Store) -> None:
    heart = Heart(sqlite_store, WORKER, dict)
    heart.beat()
    (beat,) = sqlite_store.heartbeats.all()
    assert life(beat, sqlite_store.now()) is Life.ALIVE
    assert written_by(beat, os.getpid())
    assert not written_by(beat, os.getpid() + 1)
    beat.state = {"process": {**beat.state["process"], "started": beat.state["process"]["started"] - 1}}
    assert life(beat, sqlite_store.now()) is Life.STOPPED


def test_a_heart_waits_for_the_database_and_its_last_word_is_written(
    sqlite_store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, away, tried = sqlite_store.heartbeats.beat, threading.Event(), threading.Event()

    def beat(name: str, state: Any) -> Any:
        if away.is_set():
            tried.set()
            raise Unavailable("The database does not work.")
        return plain(name, state)

    monkeypatch.setattr(sqlite_store.heartbeats, "beat", beat)
    heart = Heart(sqlite_store, WORKER, lambda: {"round": 3}, every_s=0.01)
    away.set()
    heart.start()
    assert tried.wait(10)
    away.clear()
    until(lambda: [beat.state["round"] for beat in sqlite_store.heartbeats.all()] == [3])
    away.set()
    tried.clear()
    assert tried.wait(10)
    threading.Timer(0.1, away.clear).start()
    heart.end({"round": None})
    until(lambda: [beat.state["round"] for beat in sqlite_store.heartbeats.all()] == [None])


def test_nobody_else_has_a_rule_of_their_own() -> None:
    """Who reads a beat's time but the rule, and the ages that `status` prints and what operators asked for?"""
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "feedback_app").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr == "at"
        and isinstance(node.value, ast.Name)
        and node.value.id in ("beat", "own")
    }
    assert found == {"feedback_app/heartbeat.py", "feedback_app/commands/about.py", "feedback_app/loop/wanted.py"}


def test_who_waits_for_a_round_is_told_late_from_stopped(sqlite_store: Store, clock: Clock) -> None:
    from feedback_app.commands.rounds import worker_problem

    assert worker_problem(sqlite_store) == "no worker runs: start alignloop up, or alignloop worker"
    Heart(sqlite_store, WORKER, dict).beat()
    assert worker_problem(sqlite_store) == ""
    clock.pass_s(3600.0)  # this process trains all the while
    assert worker_problem(sqlite_store) == "the worker is late: this machine may be busy"
