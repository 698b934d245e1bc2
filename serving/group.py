"""A process group that was ours once: written down, recognised again, and ended.

A number alone does not say whose process it is: numbers are used again. A group counts as ours only while
a process is in it whose number and start time were both written down, on the same boot of the machine; the
kernel does not reuse a group's number while a member lives. Linux only (`/proc`); elsewhere nothing is
ever recognised, so nothing is ever killed.
"""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from alignment.files import write_whole
from alignment.processes import signal_group

PROC = Path("/proc")


def start_time(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None when there is no such process (or a zombie)."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else int(fields[19])


def members(group: int) -> dict[int, int]:
    """The live processes of a group: number to start time."""
    found = {}
    for entry in PROC.iterdir() if PROC.is_dir() else ():
        fields = _stat(int(entry.name)) if entry.name.isdigit() else None
        if fields is not None and fields[0] not in "ZX" and int(fields[2]) == group:
            found[int(entry.name)] = int(fields[19])
    return found


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the command name: state first, group third, start time twentieth."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def _boot() -> str:
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


@dataclass(slots=True)
class GroupFile:
    """The file that remembers one group: its number, its owner (the supervisor) and its members."""

    path: Path
    _written: dict[str, object] = field(default_factory=dict)

    def write(self, group: int) -> None:
        """Remember the group as it is now. Writes only when something changed, and whole or not at all."""
        record: dict[str, object] = {
            "boot": _boot(),
            "group": group,
            "members": {str(pid): started for pid, started in members(group).items()},
            "owner": [os.getpid(), start_time(os.getpid())],
        }
        if record == self._written:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, json.dumps(record))
        self._written = record

    def forget(self) -> None:
        """Remove the file: the group has ended."""
        self.path.unlink(missing_ok=True)
        self._written = {}

    def _read(self) -> dict[str, object]:
        try:
            record = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) and record.get("boot") == _boot() else {}

    def group(self) -> int | None:
        """The remembered group's number while it is still the same group with a live member; else None."""
        record = self._read()
        number, known = record.get("group"), record.get("members")
        if not isinstance(number, int) or not isinstance(known, dict):
            return None
        ours = any(known.get(str(pid)) == started for pid, started in members(number).items())
        return number if ours else None

    def other_owner(self) -> int | None:
        """The process id of another live supervisor that owns the group; None when it is dead or ourselves."""
        owner = self._read().get("owner")
        match owner:
            case [int(pid), int(started)] if pid != os.getpid() and start_time(pid) == started:
                return pid
        return None

    def clear(self, deadline_s: float = 5.0) -> bool:
        """End the remembered group at once (SIGKILL) and wait until it is gone.

        Returns whether there was one. Raises `TimeoutError` when a member is still there at the deadline.
        """
        group = self.group()
        if group is None:
            self.forget()
            return False
        end_group(group, deadline_s)
        self.forget()
        return True


def end_group(group: int, deadline_s: float = 5.0) -> None:
    """SIGKILL a whole group and wait until no member lives. Raises `TimeoutError` at the deadline."""
    deadline = time.monotonic() + deadline_s
    while members(group):
        if not signal_group(group, signal.SIGKILL):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes of group {group} did not end within {deadline_s:.0f} s")
        time.sleep(0.02)
