"""A stage's child process: started in its own process group, followed through its progress file, ended.

Knows a command and a folder, not rounds or the database. The child itself asks the kernel to die with
its parent (`alignment.run` does so first of all), so a killed worker leaves no trainer behind; a group
that a launcher left behind nevertheless is cleared by `clear_left_over` before the next attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from alignment.files import lines_of
from alignment.processes import signal_group
from alignment.records import StepRecord
from feedback_app.errors import RoundFailed, StageKilled

GRACE_S = 5.0
POLL_S = 0.3

OnProgress = Callable[[list[StepRecord]], Awaitable[None]]


class ProgressTail:
    """New complete records of `progress.jsonl` since the last look. A half-written line waits."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[StepRecord]:
        """The records whose lines have ended since the last call."""
        if not self._path.is_file():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            read = file.read()
        ended = read[: read.rfind(b"\n") + 1]
        self._offset += len(ended)
        return [json.loads(line) for line in lines_of(ended.decode()) if line.strip()]


def log_of(folder: Path) -> Path:
    """Where a child's output goes: beside its folder, whose files are the artifact and nothing else."""
    return folder.with_name(folder.name + ".log")


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a stage: ours, without the database and without alignloop's own settings."""
    return {
        name: value
        for name, value in environment.items()
        if name != "DATABASE_URL" and not name.startswith("ALIGNLOOP_")
    }


async def run_child(
    command: Sequence[str],
    folder: Path,
    on_progress: OnProgress,
    *,
    on_start: Callable[[int], Awaitable[None]] | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run `command` until it ends, handing over each progress record that it writes into `folder` (which exists).

    Cancelling this coroutine ends the child's whole process group first. Raises `RoundFailed` with the
    reason the child left in `error.json`, and `StageKilled` with the signal that killed it.
    """
    tail = ProgressTail(folder / "progress.jsonl")
    with log_of(folder).open("ab") as log:
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=child_environment(os.environ if environment is None else environment),
            )
        except OSError as error:
            raise RoundFailed(f"Training could not be started: {command[0]}: {error.strerror}.") from error
    try:
        if on_start is not None:
            await on_start(process.pid)
        ended = asyncio.ensure_future(process.wait())
        while not ended.done():
            await asyncio.wait({ended}, timeout=POLL_S)
            if records := tail.read():
                await on_progress(records)
    finally:
        await _end(process)
    if records := tail.read():
        await on_progress(records)
    if process.returncode != 0:
        raise _why(process.returncode or 0, folder)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the whole group: politely, then for certain. A group that is gone already is fine."""
    if process.returncode is None:
        signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), GRACE_S)
    # Also after a normal end: a launcher may have left workers behind in the group.
    signal_group(process.pid, signal.SIGKILL)
    await process.wait()


def _why(code: int, folder: Path) -> RoundFailed:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return RoundFailed(str(json.loads((folder / "error.json").read_text())["message"]))
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return StageKilled(
            f"Training was killed ({name}), perhaps for want of memory. Serving is unchanged; "
            f"start the round again, or look into {log_of(folder)}."
        )
    return RoundFailed(
        f"Training ended with exit code {code}. Serving is unchanged; {log_of(folder)} holds what it said."
    )


def clear_left_over(pid: int | None, folder: Path) -> bool:
    """Kill the group of an earlier attempt, if it is still alive and certainly that attempt.

    The check is the folder's name in the process's own command line, so that a reused process number
    never hits a stranger. Returns whether something was killed.
    """
    if pid is None:
        return False
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return False
    if str(folder) not in words:
        return False
    signal_group(pid, signal.SIGKILL)
    return True
