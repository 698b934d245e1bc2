"""What a KTO run may be told, and what it chooses by itself. No training library is imported here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from alignment.errors import StageError
from alignment.methods.shared_training.settings import RowsSettings, setting

MIN_MARKS = 8
MOVED = 1.5  # nats by which the answers' log-probabilities change, root mean square: how far a run is topped up


@dataclass(frozen=True)
class KtoSettings(RowsSettings):
    """Settings of one KTO run. Unless `epochs` is set, it is topped up as in `dpo`, until it has moved by `MOVED`."""

    STAGE: ClassVar[str] = "kto"
    ROWS_SEEN: ClassVar[int] = 960  # 640 pleased the taste less, 1,280 cost 4.8 points of capability
    MAX_EPOCHS: ClassVar[int] = 10

    beta: float = setting(0.1, "how strongly the policy is held to the reference model", above=0)
    batch: int = setting(16, "marked answers a step; the KL estimate pairs the answers of a batch", least=2)
    desirable: float = setting(
        0.0, "weight of likes", zero="so that both sides weigh the same in sum (equation 8 of the paper)", least=0
    )
    undesirable: float = setting(0.0, "weight of dislikes", zero="so that both sides weigh the same in sum", least=0)
    min_marks: int = setting(MIN_MARKS, "marked answers that are needed", least=1)

    def steps_for(self, rows: int) -> int:
        """Optimiser steps of the first cycle; an incomplete batch at its end is one too."""
        return math.ceil(rows * self.epochs_for(rows) / self.batch)

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
