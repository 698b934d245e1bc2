"""Everything together: vLLM, the app and the worker as children of one process, until Ctrl-C.

The parent checks, migrates, makes the first operator, starts the children and shows one status. It restarts
a child that dies, and when it ends, nobody is left. It serves nothing itself, so it stays small; what each
child does stands in `commands/processes.py`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from alignment.files import last_lines
from alignment.processes import Backoff, adopt_orphans, signal_group
from feedback_app.processes import parent_watch

STOP_S = 6.0  # for an orderly end; whoever is left after it is killed
STEADY_S = 30.0  # a child that lived this long starts afresh at the shortest pause
FIRST_PAUSE_S = 0.5
WRONG_USAGE = 2


@dataclass
class Child:
    """One child process: its command, its log, and how often it had to be started again."""

    name: str
    command: Sequence[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restarts: int = 0
    _backoff: Backoff = field(default_factory=lambda: Backoff(FIRST_PAUSE_S))
    _again_at: float = 0.0

    def start(self, now: float, env: Mapping[str, str]) -> None:
        """Start it in a session of its own, so that Ctrl-C in the terminal reaches `up` alone."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(env), start_new_session=True
            )
        self.started_at = now

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.poll() is None

    @property
    def code(self) -> int | None:
        """Its exit code, None while it runs or before its start."""
        return None if self.process is None else self.process.poll()

    def look_after(self, now: float, env: Mapping[str, str]) -> bool:
        """Start it again when it has died and its pause is over. Returns whether it was found dead just now."""
        if self.process is None or self.alive:
            return False
        if not self._again_at:
            self._again_at = now + self._backoff.ended(worked=now - self.started_at > STEADY_S)
            return True
        if now >= self._again_at:
            self._again_at = 0.0
            self.restarts += 1
            self.start(now, env)
        return False

    def last_words(self) -> str:
        """The last line of its log."""
        return (last_lines(self.log, 8192) or [""])[-1]


@dataclass
class Team:
    """The children of `up`, in the order of their start. `clock` is in seconds; `pause` waits that long."""

    children: list[Child]
    env: Mapping[str, str]
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep
    stopping: bool = False
    wrong: Child | None = None
    adopts: bool = False  # whether orphans become children of this process
    _killed: bool = field(default=False, repr=False)

    def start(self, name: str) -> None:
        """Start one child."""
        self[name].start(self.clock(), self.env)

    def __getitem__(self, name: str) -> Child:
        return next(child for child in self.children if child.name == name)

    def look_after(self) -> list[Child]:
        """Restart who died; those found dead now. A child that calls its own start wrong usage ends the team.

        What children left behind and this process adopted is buried when it ends.
        """
        if self.adopts:
            self._reap_adopted()
        dead = []
        for child in self.children:
            if child.look_after(self.clock(), self.env):
                dead.append(child)
                if child.code == WRONG_USAGE:
                    self.wrong, self.stopping = child, True
        return dead

    def _reap_adopted(self) -> None:
        """Wait for ended processes that are not children of the team; the exit codes of those are left to them.

        This process starts nothing else while it looks after the team, so whatever else ended was adopted.
        """
        if not hasattr(os, "waitid"):
            return
        while True:
            for child in self.children:
                if child.process is not None:
                    child.process.poll()  # one of them, ended and not asked, would stand before all others
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            if not any(child.process is not None and child.process.pid == ended.si_pid for child in self.children):
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(ended.si_pid, os.WNOHANG)

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Begin to stop; at the second signal, at once."""
        self._killed = self.stopping
        self.stopping = True

    def stop(self) -> None:
        """End every child and what they left, within `STOP_S` and a moment."""
        for child in self.children:
            if child.alive and child.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    child.process.send_signal(signal.SIGTERM)
        deadline = self.clock() + STOP_S
        while any(child.alive for child in self.children) and self.clock() < deadline and not self._killed:
            self.pause(0.05)
        for child in self.children:
            if child.process is not None:
                signal_group(child.process.pid, signal.SIGKILL)
                child.process.wait()
        end_descendants()


def end_descendants() -> None:
    """Kill every process below this one. Orphans are found too, because this process adopts them."""
    import psutil

    left = psutil.Process().children(recursive=True)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=1.5)


def our_command(*words: str) -> list[str]:
    """`alignloop WORDS` with this interpreter."""
    return [sys.executable, "-m", "feedback_app", *words]


def make_team(home: Path, *, vllm_here: bool, env: Mapping[str, str] | None = None) -> Team:
    """The children of this machine: vLLM only where it runs here."""
    names = ["app", *(["serve"] if vllm_here else []), "worker"]
    children = [Child(name, our_command(name), home / "logs" / f"{name}.log") for name in names]
    return Team(children, parent_watch.environment(os.environ if env is None else env))


def take_signals(team: Team) -> None:
    """Let SIGINT, SIGTERM and SIGHUP stop the team in an orderly way."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue  # started under nohup
        signal.signal(number, team.on_signal)
    adopt_orphans()
    team.adopts = True
