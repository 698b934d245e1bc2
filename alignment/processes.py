"""Processes that end with their owner: what the kernel is asked for, signals to a group, a pause before a restart.

Standard library only, because vLLM's guardian reads it outside any environment. Linux has the calls that are made
here; elsewhere they do nothing. What is not done here: knowing a group again after a restart (`serving.group`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from dataclasses import dataclass

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def end_with_parent(number: int = signal.SIGKILL) -> None:
    """Ask the kernel to send this signal to this process when its parent ends.

    A parent that ended just before is not noticed: compare `os.getppid()` afterwards, as `die_with_parent` does.
    """
    _prctl(_PR_SET_PDEATHSIG, number)


def die_with_parent() -> None:
    """Be killed when the parent ends, also when it ended between two calls."""
    parent = os.getppid()
    end_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def adopt_orphans() -> None:
    """Make this process the new parent of grandchildren that lose theirs, so that it can end them."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(option, value)


def signal_group(group: int, number: int) -> bool:
    """Send a signal to a whole process group; False when it is gone, or no longer ours."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
        return True
    return False


@dataclass
class Backoff:
    """A pause that doubles with every start that came to nothing, in seconds."""

    first_s: float
    longest_s: float = 30.0
    fruitless: int = 0

    def ended(self, *, worked: bool) -> float:
        """The pause before the next start, after one that did or did not work."""
        self.fruitless = 0 if worked else self.fruitless + 1
        return min(self.longest_s, self.first_s * 2.0**self.fruitless)
