"""Turns a Hugging Face trainer's log lines into a stage's progress records."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

from alignment.stages import Progress

NAMES = (
    "loss",
    "margin",
    "accuracy",
    "logps_chosen",
    "logps_rejected",
    "nll",
    "grad_norm",
    "entropy",
)
ALIASES = {"completions/mean_length": "length"}  # what TRL's online trainers call it


class ProgressCallback(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Reports `step`, `steps`, `epoch`, what was logged, and `seconds_left` by the pace so far."""

    def __init__(self, progress: Progress, planned: Callable[[int], int] | None = None) -> None:
        """`planned`: steps in all as far as is known at a step, where a trainer may end before its last."""
        self._progress = progress
        self._planned = planned
        self._started = 0.0
        self._rolled: dict[str, float] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock, and say how many steps there will be."""
        self._started = time.perf_counter()
        self._progress({"step": 0, "steps": self._steps(state)})

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """One record per logged step; the summary at the end is not one."""
        if not logs or "loss" not in logs:
            return
        elapsed = time.perf_counter() - self._started
        for theirs in ("reward", "kl", *ALIASES):  # of the last rollouts: logged once for all updates on them
            if theirs in logs:
                self._rolled[ALIASES.get(theirs, theirs)] = float(logs[theirs])
        left = elapsed / max(1, state.global_step) * (self._steps(state) - state.global_step)
        self._progress(
            {
                "step": state.global_step,
                "steps": self._steps(state),
                "epoch": round(float(state.epoch or 0.0), 3),
                **{name: float(logs[name]) for name in NAMES if name in logs},
                **self._rolled,
                "seconds_left": round(left, 1),
            }
        )

    def _steps(self, state: Any) -> int:
        return self._planned(state.global_step) if self._planned else int(state.max_steps)
