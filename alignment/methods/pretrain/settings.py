"""What a pretraining run may be told. No training library is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alignment.methods.shared_training.settings import read_settings


@dataclass(frozen=True)
class PretrainSettings:
    """What a pretraining run may be told. Lengths in tokens, rates per step."""

    vocabulary: int = 2048
    hidden_size: int = 256
    intermediate_size: int = 704
    layers: int = 6
    heads: int = 4
    row_length: int = 256
    batch_rows: int = 16
    steps: int = 2400
    warmup_share: float = 0.02
    decay_share: float = 0.6
    muon_rate: float = 0.02
    adam_rate: float = 3e-3
    weight_decay: float = 0.01
    prompt_weight: float = 0.1
    clip: float = 1.0
    threads: int = 2
    log_every: int = 20
    checkpoint_every: int = 200
    temperature: float = 0.8
    top_p: float = 0.95

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> PretrainSettings:
        """Return settings from ``values``; raises StageError for a name that does not exist."""
        return read_settings(cls, "pretrain", values)
