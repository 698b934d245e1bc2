"""How the C library hands out memory while a small model trains."""

from __future__ import annotations

import ctypes
import sys

from alignment.methods.shared_training.scale import SMALL_MODEL

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h


def keep_freed_memory(hidden: int) -> bool:
    """For a small model, keep freed blocks in this process instead of handing each back; says whether it does so.

    glibc gives blocks of megabytes back to the kernel when they are freed, and gets them again as pages that must
    be zeroed. A small model's activations are such blocks, thousands of times a minute: PPO's updates took a
    tenth less processor time without that, at the same peak. Results do not change. Elsewhere nothing happens.
    """
    if hidden > SMALL_MODEL or not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(_MMAP_THRESHOLD, 1 << 29)) and bool(mallopt(_TRIM_THRESHOLD, 1 << 30))
