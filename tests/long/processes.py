"""A child process with all that it starts: its seconds, its processor time, its peak memory."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Used:
    """`peak_gib` is the largest sum of resident sizes over the process and its descendants, sampled every 50 ms,
    or the kernel's own high-water mark of the process alone where that is larger (it misses no short peak). That
    mark is the program's, from /proc: `ru_maxrss` also holds the size of whoever started the program.

    `cpu_s` is user and system time of the process and of its children that have ended.
    """

    code: int
    seconds: float
    cpu_s: float
    peak_gib: float


def measured(words: Sequence[str], log: Path, *, cwd: Path, environment: Mapping[str, str] | None = None) -> Used:
    """Run a command to its end, its output in `log`. Raises `OSError` when it cannot be started."""
    began = time.perf_counter()
    with log.open("wb") as file:
        child = subprocess.Popen(
            list(words), cwd=cwd, stdout=file, stderr=file, env={**os.environ, **(environment or {})}
        )
        watch = _Watch(child.pid)
        watch.start()
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    watch.ended.set()
    watch.join()
    return Used(child.returncode, time.perf_counter() - began, usage.ru_utime + usage.ru_stime, watch.peak / 2**30)


class _Watch(threading.Thread):
    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self.ended = threading.Event()
        self.peak = 0

    def run(self) -> None:
        while not self.ended.wait(EVERY_S):
            self.peak = max(self.peak, resident(self._pid), high_water(self._pid))


def resident(pid: int) -> int:
    """Bytes resident in a process and its descendants; 0 when it is gone."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for member in family:
        try:
            total += member.memory_info().rss
        except psutil.Error:
            continue
    return total


def high_water(pid: int) -> int:
    """The largest resident size in bytes that a process has had since its program began; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)
