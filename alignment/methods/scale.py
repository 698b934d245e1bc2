"""What depends on a model's size: the learning rate of an adapter, and how many threads train it.

The sizes and the reasons are those of `dpo_settings`, measured on the embedded model.
"""

from __future__ import annotations

from alignment.methods.dpo_settings import SMALL_MODEL


def rate_for(hidden: int, small: float) -> float:
    """`small` is the rate up to a hidden size of 512; beyond that it falls with hidden^1.5, as for DPO."""
    return small * float(min(1.0, SMALL_MODEL / max(1, hidden)) ** 1.5)


def threads_for(hidden: int, threads: int) -> int | None:
    """`threads` when it is not 0, else one for a small model, else None: PyTorch's own choice."""
    return threads or (1 if hidden <= SMALL_MODEL else None)
