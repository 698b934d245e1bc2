"""What a run chooses from the sizes of model and dataset: an adapter's learning rate and layers, threads, passes."""

from __future__ import annotations

SMALL_MODEL = 512  # the hidden size up to which a model counts as small
SMALL_MODEL_LAYERS = 0.25  # the share of layers that is trained in a small model, counted from the last
CYCLES = 3  # how much longer than one cycle a run may become, see `alignment.methods.shared_training.top_up_schedule`


def rate_for(hidden: int, small: float) -> float:
    """The peak learning rate for a hidden size; `small` is that of a small model.

    Beyond 512 it falls with hidden^1.5 (from 1e-3 to 4e-5 at 4,096), a rule of thumb between the rates usual
    for LoRA on models of those sizes.
    """
    return small * float(min(1.0, SMALL_MODEL / max(1, hidden)) ** 1.5)


def threads_for(hidden: int, threads: int) -> int | None:
    """`threads` when it is not 0, else one for a small model, else None: PyTorch's own choice, every processor.

    A small model's matrices are too small to share, and on a machine that serves at the same time two threads
    that wait for each other made a step 1.3 to 1.9 times as long as one thread did. One thread also makes the
    result independent of how many processors there are.
    """
    return threads or (1 if hidden <= SMALL_MODEL else None)


def passes_for(rows: int, seen: int, most: int) -> float:
    """Passes over so many rows: about `seen` of them in all, between 1 and `most` passes."""
    return float(min(most, max(1, round(seen / max(1, rows)))))


def layers_for(hidden: int, layers: int, share: float) -> list[int] | None:
    """Numbers of the layers that get an adapter in a model of so many; None means all of them.

    `share` is counted from the last; 0 is the last quarter up to a hidden size of 512, measured on the embedded
    model: what is preferred is mostly manner, which the last layers decide, and facts that sit in the earlier ones
    stay. Larger models hold manner in more places and have more room, so all of theirs are trained.
    """
    share = share or (SMALL_MODEL_LAYERS if hidden <= SMALL_MODEL else 1.0)
    count = max(1, round(share * layers))
    return None if count >= layers else list(range(layers - count, layers))
