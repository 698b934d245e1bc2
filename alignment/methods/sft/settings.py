"""What a fine-tuning run may be told. No training library is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from alignment.methods.shared_training.settings import StageSettings, setting


@dataclass(frozen=True)
class SftSettings(StageSettings):
    """Settings of one run."""

    STAGE: ClassVar[str] = "sft"

    epochs: float = setting(1.0, "passes over the conversations", above=0)
    max_steps: int = setting(-1, "steps after which the run ends before its epochs; -1: none")
    batch_size: int = setting(32, "conversations a step", least=1)
    learning_rate: float = setting(3e-4, "peak learning rate; it decays linearly to 0", above=0)
    warmup_share: float = setting(0.05, "share of the steps until the peak is reached", least=0, most=1)
    max_length: int = setting(256, "longest conversation; longer ones are left out", unit="tokens", least=1)
    log_every: int = setting(10, "steps between two progress records", least=1)
    bf16: bool = setting(True, "compute in bfloat16")
