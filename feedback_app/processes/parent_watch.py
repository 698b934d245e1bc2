"""No process of ours outlives the one that started it, however that one ends.

`up` hands its process id to its children in the environment. A child asks the kernel for SIGTERM when its
parent dies, and also looks itself: a child that a signal cannot reach any more ends after a grace. What is
not done here: anything about vLLM, which has a guardian of its own, or about trainers.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping

from alignment.processes import end_with_parent

PARENT = "_ALIGNLOOP_PARENT"  # not a setting: written by `up`, read by its children
GRACE_S = 9.0
LOOK_S = 0.5


def environment(base: Mapping[str, str]) -> dict[str, str]:
    """`base` for a child of this process: it learns whom it belongs to and not the first operator's password."""
    env = {name: value for name, value in base.items() if name != "ALIGNLOOP_OPERATOR_PASSWORD"}
    env[PARENT] = str(os.getpid())
    return env


def tie_to_parent() -> None:
    """End when the parent named in the environment ends; nothing when none is named."""
    parent = int(os.environ.pop(PARENT, "0") or 0)
    if not parent:
        return
    end_with_parent(signal.SIGTERM)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)
    threading.Thread(target=_watch, args=(parent,), name="lifeline", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(1)
