"""What an online DPO run may be told, and what it chooses by itself. No training library is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from alignment.methods.shared_training.settings import OnlineSettings, setting


@dataclass(frozen=True)
class OnlineDpoSettings(OnlineSettings):
    """Settings of one online DPO run: two fresh answers to every prompt, ordered by the reward model."""

    STAGE: ClassVar[str] = "online-dpo"

    steps: int = setting(12, "steps, each with fresh answers", least=1)
    pairs: int = setting(64, "prompts a step, two answers to every one", least=1)
    epochs: int = setting(2, "passes over each step's pairs", least=1)
    minibatch: int = setting(16, "pairs an update", least=1)
    beta: float = setting(0.1, "how strongly the policy is held to the reference model", above=0)
    tie: float = setting(
        0.1, "pairs whose rewards differ by this or less teach nothing", unit="spreads of the starting model's", least=0
    )
    max_grad: float = setting(1.0, "largest norm of a gradient")
