"""What a reward-model run may be told, and what it chooses by itself. No training library is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from alignment.methods.shared_training.few_pairs import MIN_PAIRS
from alignment.methods.shared_training.scale import rate_for
from alignment.methods.shared_training.settings import PassesSettings, setting


@dataclass(frozen=True)
class RewardSettings(PassesSettings):
    """Settings of one reward-model run. It is never topped up."""

    STAGE: ClassVar[str] = "reward"
    ROWS_SEEN: ClassVar[int] = 800
    MAX_EPOCHS: ClassVar[int] = 10

    batch: int = setting(16, "rows a step", least=1)
    epochs: float = setting(0.0, "passes over the rows", zero="by their number", least=0)
    margin: float = setting(1.0, "scales the rows' margins in the loss", zero="no margins", least=0)
    centre: float = setting(0.01, "coefficient of the term that keeps the mean reward near zero", least=0)
    listwise: bool = setting(True, "learn from ranked groups as a whole, where the dataset has them")
    full: bool = setting(False, "train every weight instead of an adapter; the judge then takes memory of its own")
    members: int = setting(1, "models of the ensemble, whose rewards are averaged", least=1, most=8)
    min_pairs: int = setting(MIN_PAIRS, "pairs and rankings that are needed", least=1)

    def rate_for(self, hidden: int) -> float:
        """Peak learning rate for a model of this hidden size; a tenth of the adapter's where `full` is set."""
        return self.rate or rate_for(hidden, self.SMALL_MODEL_RATE) * (0.1 if self.full else 1.0)
