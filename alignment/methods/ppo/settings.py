"""What a PPO run may be told, and what it chooses by itself. No training library is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from alignment.methods.shared_training.settings import OnlineSettings, setting

WATCH_NEEDS = "watch needs milestones to judge: set milestones=0.5 too, or leave watch out"


@dataclass(frozen=True)
class PpoSettings(OnlineSettings):
    """Settings of one PPO run: rollouts, then `epochs` of clipped updates on them, `steps` times."""

    STAGE: ClassVar[str] = "ppo"
    SMALL_MODEL_RATE: ClassVar[float] = 5e-4

    rollouts: int = setting(128, "answers a step", least=2)
    epochs: int = setting(4, "passes over each step's rollouts", least=1)
    minibatch: int = setting(64, "answers an update", least=1)
    microbatch: int = setting(32, "answers processed at once; the same result in less memory", least=1)
    value_rate: float = setting(3e-3, "the value head's own learning rate", least=0)
    clip: float = setting(0.2, "ε of the policy's loss", above=0, below=1)
    value_clip: float = setting(0.2, "ε of the value head's loss", zero="not clipped", least=0)
    gamma: float = setting(1.0, "discount of generalised advantage estimation", least=0, most=1)
    lam: float = setting(0.95, "λ of generalised advantage estimation", least=0, most=1)
    entropy: float = setting(0.0, "coefficient of an entropy bonus", least=0)
    target_kl: float = setting(
        0.0, "KL towards which beta is steered", unit="nats an answer", zero="beta stays as it is", least=0
    )
    kl_gain: float = setting(0.1, "how fast beta is steered, a step", least=0)
    stop_kl: float = setting(
        0.0, "KL to the reference model that ends the run", unit="nats an answer", zero="none does", least=0
    )
    stop_step_kl: float = setting(
        0.1, "KL to the rollouts' policy that ends an epoch early", unit="nats a token", zero="none does", least=0
    )
    milestones: float = setting(
        0.0, "change of √KL after which the policy is kept, each time", unit="√nats", zero="none is kept", least=0
    )
    watch: int = setting(
        0,
        "blind judgements of milestones asked of people in all; they end the run and choose the policy "
        "(`overoptimization`)",
        zero="nobody is asked",
        least=0,
    )
    patience_minutes: float = setting(
        30.0, "how long people have, each time; then the run goes on", unit="minutes", least=0
    )
    reward_clip: float = setting(
        5.0, "largest reward, in spreads of the starting model's", unit="spreads", zero="not clipped"
    )
    whiten_rewards: bool = setting(False, "scale each step's rewards to unit variance")
    mix: float = setting(0.0, "coefficient of the pretraining mix over the dataset's SFT rows", zero="none", least=0)
    layers: float = setting(
        1.0,
        "share of the layers that get an adapter, counted from the last",
        zero="by the model's size",
        least=0,
        most=1,
    )
    max_grad: float = setting(1.0, "largest norm of a gradient")

    def conditions(self) -> Mapping[str, bool]:
        """See `StageSettings`."""
        return {**super().conditions(), WATCH_NEEDS: not self.watch or self.milestones > 0}
