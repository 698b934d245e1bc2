"""What a run of TRL's trainers that answer every prompt several times may be told (rloo, grpo)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alignment.methods.shared_training.settings import OnlineSettings, setting


@dataclass(frozen=True)
class GroupSettings(OnlineSettings):
    """Several answers to every prompt, each measured against the others to the same one."""

    steps: int = setting(16, "steps, each with fresh answers", least=1)
    rollouts: int = setting(64, "answers a step", least=1)
    answers: int = setting(4, "answers to every prompt; each is measured against the mean of the others", least=2)
    iterations: int = setting(2, "updates on each step's rollouts", least=1)
    minibatch: int = setting(32, "answers an update", least=1)
    clip: float = setting(0.2, "ε of the policy's loss")
    reward_clip: float = setting(
        5.0, "largest reward, in spreads of the starting model's", unit="spreads", zero="not clipped"
    )

    def conditions(self) -> Mapping[str, bool]:
        """See `StageSettings`."""
        whole = self.rollouts % self.answers == 0 and self.rollouts % self.minibatch == 0
        return {**super().conditions(), "rollouts must be a multiple of answers and of minibatch": whole}
