"""What a fine-tuning run may be told. No training library is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alignment.methods.shared_training.settings import read_settings
from alignment.stage.spec import Setting


@dataclass(frozen=True, slots=True)
class SftSettings:
    """Settings of one run.

    `max_steps` ends it before its `epochs` (-1: not); `batch_size` counts conversations; `learning_rate` is the peak,
    reached after `warmup_share` of the steps, decaying linearly to 0; a conversation longer than `max_length` tokens
    is left out; `log_every` steps a progress record is written; `bf16` computes in bfloat16 where it can.
    """

    epochs: float = 1.0
    max_steps: int = -1
    batch_size: int = 32
    learning_rate: float = 3e-4
    warmup_share: float = 0.05
    max_length: int = 256
    log_every: int = 10
    bf16: bool = True

    @classmethod
    def read(cls, values: Mapping[str, Setting]) -> SftSettings:
        """Settings from a spec. Raises `StageError` naming a setting that does not exist or has no sense."""
        return read_settings(cls, "sft", values)
