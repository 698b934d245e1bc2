"""Turns a Hugging Face trainer's log lines into a stage's progress records."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, cast

from transformers import TrainerCallback

from alignment.records import StepRecord
from alignment.stage.spec import Progress

NAMES = (
    "loss",
    "margin",
    "accuracy",
    "logps_chosen",
    "logps_rejected",
    "nll",
    "grad_norm",
    "entropy",
    "reward",
    "kl",
    "sampler_gap",
)
LENGTH = "completions/mean_length"  # what TRL's online trainers call it


def figures(logs: Mapping[str, float]) -> StepRecord:
    """A log line's figures under our names. A KL that TRL's online trainers logged per token is per answer here."""
    found = cast(StepRecord, {name: float(logs[name]) for name in NAMES if name in logs})
    if LENGTH in logs:
        found["length"] = float(logs[LENGTH])
        if "kl" in found:
            found["kl"] *= found["length"]
    return found


def rounded(found: StepRecord) -> StepRecord:
    """The same to four places, for the metrics."""
    return cast(StepRecord, {name: round(value, 4) for name, value in cast(Mapping[str, float], found).items()})


class ProgressCallback(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Reports `step`, `steps`, `epoch`, what was logged, and `seconds_left` by the pace so far."""

    def __init__(self, progress: Progress, planned: Callable[[int], int] | None = None) -> None:
        """`planned`: steps in all as far as is known at a step, where a trainer may end before its last."""
        self._progress = progress
        self._planned = planned
        self._started = 0.0
        self._first = 0
        # Some are not logged every time: of the last rollouts once for all updates on them, the margin of likes
        # over dislikes only when a batch held both. They stay until they are logged again.
        self._last: StepRecord = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock, and say how many steps there will be; a run that goes on has said so before."""
        self._started = time.perf_counter()
        self._first = state.global_step
        if not self._first:
            self._progress({"step": 0, "steps": self._steps(state)})

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **_: Any) -> None:
        """One record per logged step; the summary at the end is not one."""
        if not logs or "loss" not in logs:
            return
        elapsed = time.perf_counter() - self._started
        self._last |= figures(logs)
        left = elapsed / max(1, state.global_step - self._first) * (self._steps(state) - state.global_step)
        self._progress(
            {
                "step": state.global_step,
                "steps": self._steps(state),
                "epoch": round(float(state.epoch or 0.0), 3),
                **self._last,
                "seconds_left": round(left, 1),
            }
        )

    def _steps(self, state: Any) -> int:
        return self._planned(state.global_step) if self._planned else int(state.max_steps)
