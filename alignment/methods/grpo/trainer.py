"""TRL's `GRPOTrainer` with rollouts from elsewhere (`online.outside_rollouts`)."""

from __future__ import annotations

from typing import Any

from trl import GRPOTrainer

from alignment.methods.online.outside_rollouts import OutsideRollouts


class OutsideGrpoTrainer(OutsideRollouts, GRPOTrainer):  # type: ignore[misc]  # TRL is not typed
    """Asks a sampler for its answers, after it has handed it the policy."""

    def _generate_single_turn(self, *_: Any) -> tuple[list[list[int]], None]:
        return self.ask_outside(), None

    @property
    def scores_policy_first(self) -> bool:
        """An only update on what was sampled needs no old log-probabilities: the reference's then come first."""
        return bool(self.args.gradient_accumulation_steps % (self.args.steps_per_generation * self.num_iterations))
