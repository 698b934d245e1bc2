"""A DPO run in cycles: as many as it takes to move the model, each with a learning rate that falls to 0.

One cycle alone is the run that there would be without them, step for step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch.optim.lr_scheduler import LambdaLR
from transformers import TrainerCallback

Logps = tuple[Sequence[float], Sequence[float]]  # of the chosen and of the rejected answers


def planned(step: int, cycle: int) -> int:
    """Steps in all, as far as is known at this step: the end of its cycle."""
    return max(1, math.ceil(step / cycle)) * cycle


def sawtooth(optimizer: Any, cycle: int) -> LambdaLR:
    """A rate that falls linearly to 0 within each `cycle` steps."""
    return LambdaLR(optimizer, lambda step: (cycle - step % cycle) / cycle)


def gains(after: Logps, before: Logps) -> list[float]:
    """By how much each chosen answer gained on its rejected one, in nats."""
    return [c - c0 - (r - r0) for c, r, c0, r0 in zip(*after, *before, strict=True)]


def moved(after: Logps, before: Logps) -> float:
    """The root mean square of the gains: how far the model has gone, whichever way."""
    found = gains(after, before)
    return math.sqrt(sum(gain * gain for gain in found) / len(found))


class UntilMoved(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Ends the run after the first cycle in which `distance` reached `enough`.

    The distances are in the trainer's log, under `distance`: what is continued from a checkpoint still has them.
    """

    def __init__(self, distance: Callable[[], float], cycle: int, enough: float) -> None:
        self._distance = distance
        self._cycle = cycle
        self._enough = enough

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """At the end of a cycle, look how far the model has gone."""
        if state.global_step % self._cycle == 0:
            distance = self._distance()
            state.log_history.append({"distance": distance, "step": state.global_step})
            if distance >= self._enough:
                control.should_training_stop = True
