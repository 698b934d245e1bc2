"""Processes saying that they live, and the one rule by which everybody else believes it.

A process writes its beat every second from a thread of its own: neither a duty that waits for vLLM nor a long
computation in its event loop makes it late. The beat names the process: where it runs, its number and its start.
A reader on the same machine asks the system whether that very process is still there; then silence is only
lateness, however long, and a process that has ended is known at once. From elsewhere there is time alone.

What is not done here: leases of rounds (`store.rounds`), and ending anything.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from feedback_app.domain.beats import BeatState, ProcessState
from feedback_app.store.database import Store
from feedback_app.store.tables import Beat
from serving.group import start_time

log = logging.getLogger(__name__)

APP, WORKER, VLLM = "app", "worker", "vllm"
BEAT_S = 1.0
LATE_S = 10.0  # silence after which a process is late
STOPPED_S = 60.0  # and after which one that cannot be looked at has stopped; machines' clocks differ by less
END_S = 2.0  # how long an end waits for a beat that is being written


class Life(StrEnum):
    """What a beat says about its process. `late`: it runs, or may, and has not said anything for a while."""

    ALIVE = "alive"
    LATE = "late"
    STOPPED = "stopped"


def life(beat: Beat | None, now: float) -> Life:
    """The rule. `now` is the reader's clock, seconds; no beat at all means that it has never run."""
    if beat is None:
        return Life.STOPPED
    runs = _runs(beat.state.get("process"))
    silent_s = now - beat.at
    if runs is False or (runs is None and silent_s >= STOPPED_S):
        return Life.STOPPED
    return Life.ALIVE if silent_s < LATE_S else Life.LATE


def look(store: Store, name: str) -> Life:
    """Whether the process that beats as `name` lives. Raises `Unavailable` when the database does not answer."""
    return life(last(store, name), store.now())


def last(store: Store, name: str) -> Beat | None:
    """The last beat of a name."""
    return next((beat for beat in store.heartbeats.all() if beat.name == name), None)


def written_by(beat: Beat, pid: int) -> bool:
    """Whether the beat is that of a process of this machine with this number."""
    process = beat.state.get("process")
    return isinstance(process, Mapping) and process.get("pid") == pid and process.get("place") == _place()


class Heart:
    """Beats from `start` to `end`. A database that is away is waited for; `state` is asked in the heart's thread."""

    def __init__(self, store: Store, name: str, state: Callable[[], BeatState], *, every_s: float = BEAT_S) -> None:
        self._store, self._name, self._state, self._every_s = store, name, state, every_s
        self._writing = threading.Lock()
        self._last_word = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"heart-{name}", daemon=True)

    def start(self) -> None:
        """Begin; the first beat is written at once."""
        self._thread.start()

    def beat(self) -> None:
        """Beat now, besides. Raises `Unavailable` when the database does not answer."""
        self._write(self._state())

    def end(self, last_state: BeatState | None = None) -> None:
        """Beat no more, but for `last_state` as the last word: it is tried until it is written, or the process ends."""
        if last_state is not None:
            self._state = lambda: last_state
        self._last_word = last_state is not None
        self._ended.set()
        self._thread.join(END_S)

    def _run(self) -> None:
        away = False
        while True:
            ending = self._ended.is_set()
            if ending and not self._last_word:
                return
            try:
                self.beat()
                away = False
                if ending:
                    return
            except Exception as error:  # whatever it is: a process that lives goes on saying so
                if not away:
                    log.warning("the beat of %s could not be written: %s", self._name, error)
                away = True
            if ending:
                time.sleep(self._every_s)
            else:
                self._ended.wait(self._every_s)

    def _write(self, state: BeatState) -> None:
        with self._writing:
            self._store.heartbeats.beat(self._name, {**state, "process": _this_process()})


def _runs(process: Any) -> bool | None:
    """Whether the process of a beat runs; None when it cannot be known from here."""
    if not isinstance(process, Mapping) or not _place() or process.get("place") != _place():
        return None
    pid = process.get("pid")
    return isinstance(pid, int) and start_time(pid) == process.get("started")


def _this_process() -> ProcessState:
    return {"place": _place(), "pid": os.getpid(), "started": start_time(os.getpid())}


@cache
def _place() -> str:
    """This boot of this machine, and the space in which process numbers mean something (a container has its own)."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux: there is time alone
        return ""
