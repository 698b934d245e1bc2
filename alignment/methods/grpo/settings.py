"""What a GRPO run may be told, and what it chooses by itself. No training library is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from alignment.methods.online.settings import GroupSettings
from alignment.methods.shared_training.settings import setting

SCALES = ("group", "batch", "none")


@dataclass(frozen=True)
class GrpoSettings(GroupSettings):
    """Settings of one GRPO run."""

    STAGE: ClassVar[str] = "grpo"

    answers: int = setting(4, "answers to every prompt; each is measured against the mean of all of them", least=2)
    beta: float = setting(0.05, "coefficient of the KL to the reference model, a term of the loss", above=0)
    scale: str = setting("group", "whose spread of rewards an advantage is divided by", choices=SCALES)
