"""TRL's `RLOOTrainer` with rollouts from elsewhere (`online.outside_rollouts`)."""

from __future__ import annotations

from typing import Any

from trl import RLOOTrainer

from alignment.methods.online.outside_rollouts import OutsideRollouts


class OutsideRlooTrainer(OutsideRollouts, RLOOTrainer):  # type: ignore[misc]  # TRL is not typed
    """Asks a sampler for its answers, after it has handed it the policy."""

    def _generate_single_turn(self, *_: Any) -> list[list[int]]:
        return self.ask_outside()
