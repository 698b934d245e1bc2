"""What a DPO run may be told, and what it chooses by itself. No training library is imported here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from alignment.errors import StageError
from alignment.methods.shared_training.scale import CYCLES, passes_for, rate_for
from alignment.methods.shared_training.settings import DTYPES, Loss, read_settings, require
from alignment.stage.spec import Setting

MIN_PAIRS = 8
PAIRS_SEEN = 450  # rows × epochs that a run aims at; more pleases the taste more and costs capability
MAX_EPOCHS = 20
MOVED = 3.5  # nats; see `DpoSettings`
SMALL_MODEL_RATE = 1e-3

# What a loss has by itself where nothing else is said. On 20 pairs, 8 passes, sigmoid at 0.2 pulled the answers 37
# nats apart and length-normalised at 5 (Tülu 3, arXiv:2411.15124) 36; ipo stops at 1 / (2β), here a nat per token.
# The paper of robust (arXiv:2403.00409) has 0.1.
LOSSES: dict[Loss, dict[str, Any]] = {
    "sigmoid": {},
    "ipo": {"beta": 0.5},
    "robust": {"flips": 0.1},
    "length-normalised": {"beta": 5.0},
}


@dataclass(frozen=True, slots=True)
class DpoSettings:
    """Settings of one DPO run; 0 means: chosen from the rows or the model.

    `loss` is one of `LOSSES`, which says what `beta` and `flips` (the share of labels that `robust` takes to be
    flipped by chance) are where they are not named; `margin` scales the rows' margins (1 for a clear preference,
    ⅓ for a slight one), by which the chosen answer is then asked to lead in the unit of the loss: margins are for
    the reward model, so 0 leaves them out; `sft` is the coefficient of what is added to the loss, the mean negative
    log-likelihood per token of the chosen answers and of the dataset's SFT rows; `rate` is the peak learning rate,
    decaying linearly to 0, and again in each top-up; `batch` counts pairs per step; `max_length` is in tokens, prompt
    and answer together; `layers` is the share of layers that get an adapter, counted from the last; `dtype` is auto,
    bf16 or fp32; `threads` are processors used when there is no GPU.

    Unless `epochs` is set, a run is topped up, until it is `CYCLES` times as long or has pulled the answers of a pair
    apart by `MOVED` (root mean square, before beta): where labels contradict each other, steps cancel out, and as
    many of them move a model half as far. Measured in `tests/long/noise.py`.
    """

    loss: Loss = "sigmoid"
    beta: float = 0.2
    flips: float = 0.0
    margin: float = 0.0
    sft: float = 0.0
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
        settings = read_settings(cls, "dpo", values)
        own = {name: value for name, value in LOSSES.get(settings.loss, {}).items() if name not in values}
        settings = replace(settings, **own)
        require(
            "dpo",
            {
                f"loss must be one of {', '.join(LOSSES)}, not {settings.loss!r}": settings.loss in LOSSES,
                f"flips must be at least 0 and below 0.5, not {settings.flips:g}": 0 <= settings.flips < 0.5,
                "setting flips is for the robust loss alone; add loss=robust or leave it out": settings.flips == 0
                or settings.loss == "robust",
                "beta must be above 0, batch at least 1, and rate and epochs not negative": settings.beta > 0
                and settings.batch >= 1
                and min(settings.rate, settings.epochs) >= 0,
                f"margin must be 0 or more, not {settings.margin:g}": 0 <= settings.margin < math.inf,
                f"sft must be 0 or more, not {settings.sft:g}": 0 <= settings.sft < math.inf,
                f"layers is a share between 0 and 1, not {settings.layers:g}": 0 <= settings.layers <= 1,
                f"dtype must be one of {', '.join(DTYPES)}, not {settings.dtype!r}": settings.dtype in DTYPES,
            },
        )
        return settings

    def epochs_for(self, rows: int) -> float:
        """Passes over the data: about `PAIRS_SEEN` pairs in all, between 1 and `MAX_EPOCHS` passes."""
        return self.epochs or passes_for(rows, PAIRS_SEEN, MAX_EPOCHS)

    def steps_for(self, rows: int) -> int:
        """Optimiser steps of one cycle."""
        return math.ceil(math.ceil(rows / self.batch) * self.epochs_for(rows))

    @property
    def cycles(self) -> int:
        """How many times as long as its first cycle a run may become."""
        return 1 if self.epochs else CYCLES

    def rate_for(self, hidden: int) -> float:
        """Peak learning rate for a model of this hidden size; 1e-3 for a small one, measured on the embedded model."""
        return self.rate or rate_for(hidden, SMALL_MODEL_RATE)


def check_enough(rows: int, needed: int) -> None:
    """Raise `StageError` with both numbers when there are too few pairs to train on."""
    if rows < needed:
        missing = needed - rows
        raise StageError(
            f"dpo needs at least {needed} pairs; this snapshot has {rows}: "
            f"collect {missing} more {'comparison' if missing == 1 else 'comparisons'}."
        )
