"""What a DPO run may be told, and what it chooses by itself. No training library is imported here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from alignment.errors import StageError
from alignment.spec import Setting

MIN_PAIRS = 8
PAIRS_SEEN = 450  # rows × epochs that a run aims at; more pleases the taste more and costs capability
MAX_EPOCHS = 20
SMALL_MODEL, SMALL_MODEL_RATE = 512, 1e-3
SMALL_MODEL_LAYERS = 0.25  # the share of layers that is trained in a small model, counted from the last


@dataclass(frozen=True, slots=True)
class DpoSettings:
    """Settings of one DPO run; 0 means: chosen from the rows or the model.

    `rate` is the peak learning rate, decaying linearly to 0; `batch` counts pairs per step; `max_length`
    is in tokens, prompt and answer together; `layers` is the share of layers that get an adapter, counted
    from the last; `dtype` is auto, bf16 or fp32; `threads` are processors used when there is no GPU.
    """

    beta: float = 0.2
    rate: float = 0.0
    epochs: float = 0.0
    batch: int = 8
    rank: int = 16
    alpha: int = 32
    layers: float = 0.0
    max_length: int = 0
    dtype: str = "auto"
    min_pairs: int = MIN_PAIRS
    threads: int = 0

    @classmethod
    def read(cls, values: Mapping[str, Setting]) -> DpoSettings:
        """Settings from a spec. Raises `StageError` naming a setting that does not exist or has no sense."""
        kinds: dict[str, Callable[[Any], Any]] = {entry.name: type(entry.default) for entry in fields(cls)}
        unknown = sorted(set(values) - set(kinds))
        if unknown:
            raise StageError(f"dpo has no setting {', '.join(unknown)}; it has {', '.join(sorted(kinds))}.")
        read = {}
        for name, value in values.items():
            try:
                read[name] = kinds[name](value)
            except (TypeError, ValueError) as error:
                raise StageError(f"dpo's setting {name} cannot be {value!r}.") from error
        settings = cls(**read)
        if settings.beta <= 0 or settings.batch < 1 or settings.rate < 0 or settings.epochs < 0:
            raise StageError("dpo's beta must be above 0, batch at least 1, and rate and epochs not negative.")
        if not 0 <= settings.layers <= 1:
            raise StageError(f"dpo's layers is a share between 0 and 1, not {settings.layers:g}.")
        if settings.dtype not in ("auto", "bf16", "fp32"):
            raise StageError(f"dpo's dtype must be auto, bf16 or fp32, not {settings.dtype!r}.")
        return settings

    def epochs_for(self, rows: int) -> float:
        """Passes over the data: about `PAIRS_SEEN` pairs in all, between 1 and `MAX_EPOCHS` passes."""
        return self.epochs or float(min(MAX_EPOCHS, max(1, round(PAIRS_SEEN / max(1, rows)))))

    def steps_for(self, rows: int) -> int:
        """Optimiser steps in all."""
        return math.ceil(math.ceil(rows / self.batch) * self.epochs_for(rows))

    def rate_for(self, hidden: int) -> float:
        """Peak learning rate for a model of this hidden size.

        1e-3 up to 512, measured on the embedded model; beyond that it falls with hidden^1.5 (4e-5 at
        4,096), a rule of thumb between the rates usual for LoRA DPO on models of those sizes.
        """
        return self.rate or SMALL_MODEL_RATE * min(1.0, SMALL_MODEL / max(1, hidden)) ** 1.5

    def layers_for(self, hidden: int, layers: int) -> list[int] | None:
        """Numbers of the layers that get an adapter in a model of so many; None means all of them.

        By default the last quarter up to a hidden size of 512, measured on the embedded model: what is
        preferred is mostly manner, which the last layers decide, and facts that sit in the earlier ones
        stay. Larger models hold manner in more places and have more room, so all of theirs are trained.
        """
        share = self.layers or (SMALL_MODEL_LAYERS if hidden <= SMALL_MODEL else 1.0)
        count = max(1, round(share * layers))
        return None if count >= layers else list(range(layers - count, layers))

    def threads_for(self, hidden: int) -> int | None:
        """Threads for a model of this hidden size; None leaves PyTorch's own choice, every processor.

        One for a small model: its matrices are too small to share, and on a machine that serves at the same
        time two threads that wait for each other made a step 1.3 to 1.9 times as long as one thread did.
        It also makes the result independent of how many processors there are.
        """
        return self.threads or (1 if hidden <= SMALL_MODEL else None)


def check_enough(rows: int, needed: int) -> None:
    """Raise `StageError` with both numbers when there are too few pairs to train on."""
    if rows < needed:
        missing = needed - rows
        raise StageError(
            f"dpo needs at least {needed} pairs; this snapshot has {rows}: "
            f"collect {missing} more {'comparison' if missing == 1 else 'comparisons'}."
        )
