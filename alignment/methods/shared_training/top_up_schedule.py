"""A run in cycles, as many as it takes to move the model: one whole, then top-ups of a quarter of it.

The learning rate falls to 0 in each. The first cycle alone is the run that there would be without them, step for step;
small top-ups end it soon after the model has moved far enough, while a second whole cycle would move it twice as far.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch.optim.lr_scheduler import LambdaLR
from transformers import TrainerCallback

from alignment.records import StageMetrics

Logps = tuple[Sequence[float], Sequence[float]]  # of the chosen and of the rejected answers


TOP_UPS = 4  # to a cycle
PROBE = 32  # rows that tell how far a run has moved the model


def top_up(cycle: int) -> int:
    """Steps of a top-up after a first cycle of so many."""
    return max(1, cycle // TOP_UPS)


def planned(step: int, cycle: int) -> int:
    """Steps in all, as far as is known at this step: the end of its cycle or top-up."""
    return cycle + max(0, math.ceil((step - cycle) / top_up(cycle))) * top_up(cycle)


def falling(step: int, cycle: int) -> float:
    """The share of the peak rate at a step."""
    if step < cycle:
        return (cycle - step) / cycle
    small = top_up(cycle)
    return (small - (step - cycle) % small) / small


def sawtooth(optimizer: Any, cycle: int) -> LambdaLR:
    """A rate that falls linearly to 0 within the first `cycle` steps, and within each top-up."""
    return LambdaLR(optimizer, lambda step: falling(step, cycle))


def gains(after: Logps, before: Logps) -> list[float]:
    """By how much each chosen answer gained on its rejected one, in nats."""
    return [c - c0 - (r - r0) for c, r, c0, r0 in zip(*after, *before, strict=True)]


def moved(changes: Sequence[float]) -> float:
    """The root mean square of changes in nats: how far the model has gone, whichever way."""
    return math.sqrt(sum(change * change for change in changes) / len(changes))


def travelled(state: Any, cycle: int, epochs: float) -> StageMetrics:
    """For the metrics of a run that has ended: its passes in all, its top-ups, and how far it went in nats.

    `state` is the trainer's, `epochs` are the passes of a first cycle of `cycle` steps.
    """
    distances = [entry["distance"] for entry in state.log_history if "distance" in entry]
    return {
        "epochs": round(epochs * state.global_step / cycle, 2),
        "top_ups": len(distances) - 1,
        "moved": round(distances[-1], 3),
    }


class UntilMoved(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """StageMetrics the run after the cycle or top-up in which `distance` reached `enough`.

    The distances are in the trainer's log, under `distance`: what is continued from a checkpoint still has them.
    """

    def __init__(self, distance: Callable[[], float], cycle: int, enough: float) -> None:
        self._distance = distance
        self._cycle = cycle
        self._enough = enough

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """At the end of a cycle or top-up, look how far the model has gone."""
        if planned(state.global_step, self._cycle) == state.global_step:
            distance = self._distance()
            state.log_history.append({"distance": distance, "step": state.global_step})
            if distance >= self._enough:
                control.should_training_stop = True
