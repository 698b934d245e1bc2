"""What a pretraining run may be told. No training library is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from alignment.methods.shared_training.settings import StageSettings, setting


@dataclass(frozen=True)
class PretrainSettings(StageSettings):
    """Settings of one run: the model's shape, and how it is trained."""

    STAGE: ClassVar[str] = "pretrain"

    vocabulary: int = setting(2048, "tokens of the vocabulary", least=1)
    hidden_size: int = setting(256, "width of the model", least=1)
    intermediate_size: int = setting(704, "width inside a layer's feed-forward part", least=1)
    layers: int = setting(6, "layers", least=1)
    heads: int = setting(4, "attention heads", least=1)
    row_length: int = setting(256, "length of a packed row", unit="tokens", least=1)
    batch_rows: int = setting(16, "packed rows a step", least=1)
    steps: int = setting(2400, "steps", least=1)
    warmup_share: float = setting(0.02, "share of the steps in which the rates rise", least=0, most=1)
    decay_share: float = setting(0.6, "share of the steps, the last ones, in which the rates fall", least=0, most=1)
    muon_rate: float = setting(0.02, "learning rate of the hidden matrices (Muon)", least=0)
    adam_rate: float = setting(3e-3, "learning rate of everything else (AdamW)", least=0)
    weight_decay: float = setting(0.01, "weight decay", least=0)
    prompt_weight: float = setting(0.1, "weight of what a person wrote; what the assistant wrote weighs 1", least=0)
    clip: float = setting(1.0, "largest norm of a gradient", above=0)
    threads: int = setting(2, "processors used", least=1)
    log_every: int = setting(20, "steps between two progress records", least=1)
    checkpoint_every: int = setting(200, "steps between two checkpoints", least=1)
    temperature: float = setting(0.8, "sampling temperature written into the model's generation settings", above=0)
    top_p: float = setting(0.95, "top-p written into the model's generation settings", above=0, most=1)
