"""What a KTO run may be told, and what it chooses by itself. No training library is imported here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from alignment.errors import StageError
from alignment.methods.shared_training.scale import CYCLES, passes_for, rate_for
from alignment.methods.shared_training.settings import DTYPES, read_settings, require
from alignment.stage.spec import Setting

MIN_MARKS = 8
ROWS_SEEN = 960  # rows × epochs that a run aims at: 640 pleased the taste less, 1,280 cost 4.8 points of capability
MAX_EPOCHS = 10
MOVED = 1.5  # nats; see `KtoSettings`
SMALL_MODEL_RATE = 1e-3


@dataclass(frozen=True, slots=True)
class KtoSettings:
    """Settings of one KTO run; 0 means: chosen from the rows or the model.

    `rate` is the peak learning rate, decaying linearly to 0, and again in each top-up; `batch` counts marked answers
    per step; `desirable` and `undesirable` weigh likes and dislikes (0: so that both weigh the same in sum, equation 8
    of the paper); `max_length` is in tokens, prompt and answer together; `layers` is the share of layers that get an
    adapter, counted from the last; `dtype` is auto, bf16 or fp32.

    Unless `epochs` is set, a run is topped up as in `dpo`, until it has changed the answers' log-probabilities by
    `MOVED` (root mean square).
    """

    beta: float = 0.1
    rate: float = 0.0
    epochs: float = 0.0
    batch: int = 16
    rank: int = 16
    alpha: int = 32
    desirable: float = 0.0
    undesirable: float = 0.0
    layers: float = 0.0
    max_length: int = 0
    dtype: str = "auto"
    min_marks: int = MIN_MARKS
    threads: int = 0

    @classmethod
    def read(cls, values: Mapping[str, Setting]) -> KtoSettings:
        """Settings from a spec. Raises `StageError` naming a setting that does not exist or has no sense."""
        settings = read_settings(cls, "kto", values)
        require(
            "kto",
            {
                "beta must be above 0": settings.beta > 0,
                "batch must be at least 2, because the KL estimate pairs the answers of a batch": settings.batch >= 2,
                "rate, epochs, desirable and undesirable must not be negative": min(
                    settings.rate, settings.epochs, settings.desirable, settings.undesirable
                )
                >= 0,
                f"layers is a share between 0 and 1, not {settings.layers:g}": 0 <= settings.layers <= 1,
                f"dtype must be one of {', '.join(DTYPES)}": settings.dtype in DTYPES,
            },
        )
        return settings

    def epochs_for(self, rows: int) -> float:
        """Passes over the data: about `ROWS_SEEN` marked answers in all, between 1 and `MAX_EPOCHS` passes."""
        return self.epochs or passes_for(rows, ROWS_SEEN, MAX_EPOCHS)

    def steps_for(self, rows: int) -> int:
        """Optimiser steps of the first cycle; an incomplete batch at its end is one too."""
        return math.ceil(rows * self.epochs_for(rows) / self.batch)

    @property
    def cycles(self) -> int:
        """How many times as long as its first cycle a run may become."""
        return 1 if self.epochs else CYCLES

    def rate_for(self, hidden: int) -> float:
        """Peak learning rate for a model of this hidden size."""
        return self.rate or rate_for(hidden, SMALL_MODEL_RATE)

    def sides_for(self, liked: float, disliked: float) -> tuple[float, float]:
        """(desirable, undesirable): the rarer side is raised until both weigh the same, by sums of row weights."""
        common = max(liked, disliked)
        return (self.desirable or common / liked, self.undesirable or common / disliked)


def check_marks(likes: int, dislikes: int, needed: int) -> None:
    """Raise `StageError` with the counts when there are too few marked answers, or marks of one kind only."""
    have = f"this snapshot has {_count(likes, 'like')} and {_count(dislikes, 'dislike')}"
    for count, kind in ((likes, "like"), (dislikes, "dislike")):
        if not count:
            raise StageError(f"kto needs at least one {kind}; {have}.")
    if likes + dislikes < needed:
        raise StageError(
            f"kto needs at least {needed} marked answers; {have}: collect {needed - likes - dislikes} more."
        )


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
