"""Group-relative policy optimisation against a reward model: TRL's `GRPOTrainer`, our reward model as its reward.

Shao et al. 2024 (arXiv:2402.03300, section 4.1): several answers to each prompt, each measured against the mean
of all of them in their spread, so no value head is needed. The KL to the reference is a term of the loss (their
equation 4), where RLOO takes it off the reward; TRL's own default has no such term, this one has.
"""

from __future__ import annotations

from alignment.methods.grpo.settings import GrpoSettings
from alignment.methods.online.trl_training import train_with_trl
from alignment.records import StageMetrics
from alignment.stage.sampler import Sampler
from alignment.stage.spec import Progress, StageSpec


def train(spec: StageSpec, progress: Progress, *, sampler: Sampler | None = None) -> StageMetrics:
    """Train an adapter against `spec.reward` and save it into `spec.out`: `train_with_trl` by GRPO.

    The record's `reward` is the reward model's alone, in spreads of the starting model's.
    """
    from trl import GRPOConfig, GRPOTrainer

    from alignment.methods.grpo.trainer import OutsideGrpoTrainer

    settings = GrpoSettings.read(spec.settings)
    return train_with_trl(
        spec,
        progress,
        settings,
        config=GRPOConfig,
        trainer=GRPOTrainer if sampler is None else OutsideGrpoTrainer,
        sampler=sampler,
        scale_rewards=settings.scale,
    )
