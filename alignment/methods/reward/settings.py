"""What a reward-model run may be told, and what it chooses by itself. No training library is imported here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from alignment.errors import StageError
from alignment.methods.shared_training.scale import passes_for, rate_for
from alignment.methods.shared_training.settings import DTYPES, read_settings, require
from alignment.stage.spec import Setting

MIN_PAIRS = 8
ROWS_SEEN = 800  # rows × epochs that a run aims at
MAX_EPOCHS = 10
SMALL_MODEL_RATE = 1e-3


@dataclass(frozen=True, slots=True)
class RewardSettings:
    """Settings of one reward-model run; 0 means: chosen from the rows or the model.

    `margin` scales the rows' margins in the loss (0 leaves them out); `centre` is the coefficient that keeps
    the mean reward near zero; `listwise` learns from ranked groups as a whole where the dataset has them;
    `full` trains every weight instead of an adapter; `members` is the size of the ensemble, whose rewards
    are averaged; `rate` peaks and decays linearly to 0; `batch` counts rows per step; `max_length` is in
    tokens, prompt and answer together; `dtype` is auto, bf16 or fp32.
    """

    rate: float = 0.0
    epochs: float = 0.0
    batch: int = 16
    margin: float = 1.0
    centre: float = 0.01
    listwise: bool = True
    full: bool = False
    members: int = 1
    rank: int = 16
    alpha: int = 32
    max_length: int = 0
    dtype: str = "auto"
    min_pairs: int = MIN_PAIRS
    threads: int = 0

    @classmethod
    def read(cls, values: Mapping[str, Setting]) -> RewardSettings:
        """Settings from a spec. Raises `StageError` naming a setting that does not exist or has no sense."""
        settings = read_settings(cls, "reward", values)
        require(
            "reward",
            {
                "batch must be at least 1": settings.batch >= 1,
                "members must be 1 to 8": 1 <= settings.members <= 8,
                "rate, epochs, margin and centre must not be negative": min(
                    settings.rate, settings.epochs, settings.margin, settings.centre
                )
                >= 0,
                f"dtype must be one of {', '.join(DTYPES)}": settings.dtype in DTYPES,
            },
        )
        return settings

    def epochs_for(self, rows: int) -> float:
        """Passes over the data: about `ROWS_SEEN` rows in all, between 1 and `MAX_EPOCHS` passes."""
        return self.epochs or passes_for(rows, ROWS_SEEN, MAX_EPOCHS)

    def steps_for(self, rows: int) -> int:
        """Optimiser steps in all."""
        return math.ceil(math.ceil(rows / self.batch) * self.epochs_for(rows))

    def rate_for(self, hidden: int) -> float:
        """Peak learning rate for a model of this hidden size; a tenth of the adapter's where `full` is set."""
        return self.rate or rate_for(hidden, SMALL_MODEL_RATE) * (0.1 if self.full else 1.0)


def check_rows(rows: int, needed: int) -> None:
    """Raise `StageError` with both numbers when there is too little to compare."""
    if rows < needed:
        missing = needed - rows
        raise StageError(
            f"reward needs at least {needed} pairs or rankings; this snapshot has {rows}: "
            f"collect {missing} more {'comparison' if missing == 1 else 'comparisons'}."
        )
