"""vLLM kept alive: started under a guardian, watched, restarted with a growing pause, ended with its owner.

    Supervisor.run     clear what an earlier run left → check the port → start → watch → start again
    guardian.py        the group's leader; ends it when this process goes away, however it goes

It does not load adapters: whoever does that registers a callback in `on_ready`, which is called after each
(re)start, because adapters loaded at run time do not survive one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from alignment.files import last_lines
from alignment.processes import Backoff
from serving.client import VllmClient
from serving.errors import LaunchProblem
from serving.group import GroupFile, end_group

log = logging.getLogger(__name__)

GUARDIAN = Path(__file__).with_name("guardian.py")
LOG_LIMIT = 8 * 1024 * 1024
PREFIX = re.compile(r"^(\(\S+ pid=\d+\) )?((DEBUG|INFO|WARNING|ERROR) [\d-]+ [\d:]+ )?(\[\S+:\d+\] )?")
CONSEQUENCE = "Engine core initialization failed"  # what the API process says of every failure of the engine
StateName = Literal["starting", "ready", "restarting", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class VllmState:
    """What vLLM is doing: `since` in seconds since the epoch, `detail` the last telling line of its log."""

    name: StateName
    since: float
    restarts: int = 0
    detail: str = ""


class Supervisor:
    """One vLLM as a supervised child.

    `command` and `env` come from `serving.launch`; `log_path` receives its output; `pid_file` remembers its
    process group; `health_url` is asked for readiness. `health` answers whether that URL gives 200 and
    `clock` gives seconds since the epoch; both are there to be replaced in tests.
    """

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        log_path: Path,
        pid_file: Path,
        health_url: str,
        *,
        health: Callable[[str], Awaitable[bool]] | None = None,
        clock: Callable[[], float] = time.time,
        poll_s: float = 0.25,
        unhealthy_s: float = 30.0,
        backoff_s: float = 1.0,
        starts: int = 3,
    ) -> None:
        self._command, self._env = list(command), dict(env)
        self._log_path, self._file, self._health_url = log_path, GroupFile(pid_file), health_url
        self._health, self._clock = health or _health, clock
        self._poll_s, self._unhealthy_s, self._backoff_s, self._starts = poll_s, unhealthy_s, backoff_s, starts
        self._process: asyncio.subprocess.Process | None = None
        self._log_start = 0
        self._telling: asyncio.Future[None] | None = None
        self._stopping = asyncio.Event()
        self._state = VllmState("stopped", clock())
        self.on_ready: list[Callable[[], Awaitable[None]]] = []

    def state(self) -> VllmState:
        """What vLLM is doing now."""
        if self._state.name in ("starting", "restarting"):
            return replace(self._state, detail=self.last_line())
        return self._state

    async def start(self) -> None:
        """Start vLLM and return at once; `run` watches it.

        Raises `LaunchProblem` when the port is taken, or when another live supervisor owns the group.
        """
        owner = self._file.other_owner()
        if owner is not None and self._file.group() is not None:
            raise LaunchProblem(
                f"Another alignloop (process {owner}) already runs vLLM for this folder. "
                "Stop it, or set ALIGNLOOP_HOME to another folder."
            )
        await asyncio.to_thread(self._file.clear)
        self._check_port()
        self._log_path.parent.mkdir(parents=True, exist_ok=True)
        if self._log_path.exists() and self._log_path.stat().st_size > LOG_LIMIT:
            self._log_path.replace(self._log_path.with_suffix(".1.log"))
        self._stopping.clear()
        with self._log_path.open("ab") as log:
            self._log_start = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(GUARDIAN), "2", *self._command),
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._env,
                start_new_session=True,
            )
        self._file.write(self._process.pid)
        if self._state.name != "restarting":
            self._set("starting")

    async def run(self) -> None:
        """Keep vLLM running until `stop`, or until several starts in a row never became ready (state `failed`).

        Cancelling it stops vLLM too. Raises `LaunchProblem` as `start` does, when it is the first to start it.
        """
        if self._process is None:
            await self.start()
        try:
            await self._keep()
        except asyncio.CancelledError:
            await self.stop()
            raise

    async def _keep(self) -> None:
        backoff = Backoff(self._backoff_s)
        while not self._stopping.is_set():
            was_ready = await self._watch()
            await self._end(0.0)
            if self._stopping.is_set():
                return
            pause = backoff.ended(worked=was_ready)
            if backoff.fruitless >= self._starts:
                self._set("failed", detail=self.last_line())
                return
            self._state = VllmState("restarting", self._clock(), self._state.restarts + 1)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
                return
            try:
                await self.start()
            except LaunchProblem as problem:
                self._set("failed", detail=str(problem))
                return

    async def stop(self, grace_s: float = 6.0) -> None:
        """End vLLM: running requests get `grace_s` seconds, then the whole group is killed. Idempotent."""
        self._stopping.set()
        await self._end(grace_s)
        if self._state.name != "failed":
            self._set("stopped")

    async def _watch(self) -> bool:
        """Until the process ends, stays unhealthy for too long, or is stopped: whether it was ever ready."""
        process = self._process
        assert process is not None
        ready, healthy_at = False, time.monotonic()
        exited = asyncio.ensure_future(process.wait())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            while True:
                pause = self._poll_s if not ready else max(self._poll_s, min(2.0, self._unhealthy_s / 4))
                done, _ = await asyncio.wait({exited, stopping}, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                if done:
                    return ready
                healthy = await self._health(self._health_url)
                # Written after asking, so that a vLLM that is ready is remembered with all its processes.
                self._file.write(process.pid)
                if healthy:
                    healthy_at = time.monotonic()
                    if not ready:
                        ready = True
                        self._set("ready")
                        self._telling = asyncio.ensure_future(self._tell())
                elif ready and time.monotonic() - healthy_at > self._unhealthy_s:
                    return ready
        finally:
            stopping.cancel()
            exited.cancel()

    async def _tell(self) -> None:
        """Call everyone who waits for readiness; one that fails is logged and does not keep the others from it."""
        for callback in self.on_ready:
            try:
                await callback()
            except Exception:
                log.exception("what should happen once vLLM is ready has failed")

    async def _end(self, grace_s: float) -> None:
        """Ask the guardian for an orderly end, then see to it that no member of the group is left."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None and grace_s > 0 and process.returncode is None:
            with contextlib.suppress(ConnectionError, BrokenPipeError):
                process.stdin.write(f"stop {grace_s}\n".encode())
                await process.stdin.drain()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), grace_s + 1.0)
        await asyncio.to_thread(end_group, process.pid)
        await process.wait()
        if process.stdin is not None:
            process.stdin.close()
        self._file.forget()

    def _check_port(self) -> None:
        address = urlsplit(self._health_url)
        host, port = address.hostname or "127.0.0.1", address.port or 80
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise LaunchProblem(
                    f"Port {port} on {host} is in use by another program. "
                    "Set ALIGNLOOP_VLLM_PORT to a free port and start again."
                ) from error

    def _set(self, name: StateName, detail: str = "") -> None:
        self._state = VllmState(name, self._clock(), self._state.restarts, detail)

    def last_line(self) -> str:
        """The last error of this start's log, else its last line, without vLLM's prefixes."""
        lines = last_lines(self._log_path, 65536, self._log_start)
        telling = [line for line in lines if "Error: " in line and CONSEQUENCE not in line]
        return PREFIX.sub("", (telling or lines or [""])[-1])[-400:]


async def _health(url: str) -> bool:
    """Whether vLLM calls itself healthy at this address of `/health`, within 10 s."""
    async with VllmClient(url.removesuffix("/health"), connect_s=10.0) as client:
        return await client.health()
