"""REINFORCE leave-one-out against a reward model: TRL's `RLOOTrainer`, our reward model as its reward.

Ahmadian et al. 2024 (arXiv:2402.14740): several answers to each prompt, each measured against the mean of
the others, so no value head is needed.
"""

from __future__ import annotations

from alignment.methods.online.trl_training import train_with_trl
from alignment.methods.rloo.settings import RlooSettings
from alignment.records import StageMetrics
from alignment.stage.sampler import Sampler
from alignment.stage.spec import Progress, StageSpec


def train(spec: StageSpec, progress: Progress, *, sampler: Sampler | None = None) -> StageMetrics:
    """Train an adapter against `spec.reward` and save it into `spec.out`: `train_with_trl` by RLOO.

    The record's `reward` is less the KL penalty.
    """
    from trl import RLOOConfig, RLOOTrainer

    from alignment.methods.rloo.trainer import OutsideRlooTrainer

    settings = RlooSettings.read(spec.settings)
    return train_with_trl(
        spec,
        progress,
        settings,
        config=RLOOConfig,
        trainer=RLOOTrainer if sampler is None else OutsideRlooTrainer,
        sampler=sampler,
    )
