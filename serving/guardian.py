"""A small process between the supervisor and vLLM, so that nothing of vLLM outlives the supervisor.

vLLM's engine survives a `kill -9` of its API process, and no signal tells a process group that its owner
died. This guardian leads the group, holds the read end of a pipe whose other end only the supervisor
holds, and ends the whole group when the pipe closes, when it is told to stop, or when vLLM's own first
process ends. Run as a script with the standard library only: `guardian.py GRACE_S COMMAND…`.

Standard input is the pipe: a line `stop SECONDS` asks for an orderly end, end of file means that the
supervisor is gone. It does not restart anything.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # run as a script and isolated, it knows no package

from alignment.processes import end_with_parent, signal_group


def stop_grace_s(line: str, default: float) -> float:
    """The grace period that a `stop SECONDS` line asks for, in seconds."""
    words = line.split()
    try:
        return float(words[1])
    except (IndexError, ValueError):
        return default


def watch(child: subprocess.Popen[bytes], wakeup: int, grace_s: float) -> float | None:
    """Wait until the child ends (None) or must be ended (the grace it gets, seconds)."""
    while True:
        readable, _, _ = select.select([0, wakeup], [], [])
        if wakeup in readable:
            signals = os.read(wakeup, 64)
            if child.poll() is not None:
                return None
            if signal.SIGTERM in signals:
                return grace_s
        if 0 in readable:
            line = os.read(0, 256)
            return stop_grace_s(line.decode(errors="replace"), grace_s) if line else grace_s


def main(arguments: list[str]) -> int:
    """Run the command, watch it, and end its whole group. Returns what the command returned."""
    grace_s, command = float(arguments[0]), arguments[1:]
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=end_with_parent)
    grace = watch(child, reading, grace_s)
    if grace is not None:
        # Only the first process is told: it lets running requests end before it ends the others itself.
        child.terminate()
        deadline = time.monotonic() + grace
        while child.poll() is None and (left := deadline - time.monotonic()) > 0:
            select.select([reading], [], [], left)
    code = child.poll()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.stdout.flush()
    if code is not None:
        # Say how vLLM ended before this process goes down with the group it leads.
        os.write(2, f"vLLM ended with code {code}\n".encode())
    signal_group(os.getpgid(0), signal.SIGKILL)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
