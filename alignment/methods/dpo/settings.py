"""What a DPO run may be told, and what it chooses by itself. No training library is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from alignment.methods.shared_training.few_pairs import MIN_PAIRS
from alignment.methods.shared_training.settings import Loss, RowsSettings, setting
from alignment.stage.spec import Setting

MOVED = 3.5  # nats between the answers of a pair, root mean square, before beta: how far a run is topped up

# What a loss has by itself where nothing else is said. On 20 pairs, 8 passes, sigmoid at 0.2 pulled the answers 37
# nats apart and length-normalised at 5 (Tülu 3, arXiv:2411.15124) 36; ipo stops at 1 / (2β), here a nat per token.
# The paper of robust (arXiv:2403.00409) has 0.1.
LOSSES: dict[Loss, dict[str, Any]] = {
    "sigmoid": {},
    "ipo": {"beta": 0.5},
    "robust": {"flips": 0.1},
    "length-normalised": {"beta": 5.0},
}


@dataclass(frozen=True)
class DpoSettings(RowsSettings):
    """Settings of one DPO run.

    Unless `epochs` is set, a run is topped up, until it is `CYCLES` times as long or has pulled the answers of a pair
    apart by `MOVED`: where labels contradict each other, steps cancel out, and as many of them move a model half as
    far. Measured in `tests/long/noise.py`.
    """

    STAGE: ClassVar[str] = "dpo"
    ROWS_SEEN: ClassVar[int] = 450  # more pleases the taste more and costs capability
    MAX_EPOCHS: ClassVar[int] = 20

    loss: Loss = setting("sigmoid", "the loss of a pair", choices=tuple(LOSSES))
    beta: float = setting(
        0.2, "how strongly the policy is held to the reference model; ipo has 0.5, length-normalised 5", above=0
    )
    flips: float = setting(
        0.0, "share of labels that chance has flipped, for the robust loss, which has 0.1", least=0, below=0.5
    )
    margin: float = setting(
        0.0,
        "scales the rows' margins (1 for a clear preference, ⅓ for a slight one), by which the chosen answer is then "
        "asked to lead in the unit of the loss",
        zero="no margins: they are for the reward model",
        least=0,
    )
    sft: float = setting(
        0.0,
        "coefficient of the negative log-likelihood per token of the chosen answers and of the dataset's SFT rows, "
        "added to the loss",
        zero="none",
        least=0,
    )
    min_pairs: int = setting(MIN_PAIRS, "pairs that are needed", least=1)

    @classmethod
    def read(cls, values: Mapping[str, Setting]) -> Self:
        """See `StageSettings.read`; what a loss has by itself is filled in."""
        settings = super().read(values)
        own = {name: value for name, value in LOSSES[settings.loss].items() if name not in values}
        return replace(settings, **own)

    def conditions(self) -> Mapping[str, bool]:
        """See `StageSettings`."""
        needs = "setting flips is for the robust loss alone; add loss=robust or leave it out"
        return {needs: self.flips == 0 or self.loss == "robust"}
