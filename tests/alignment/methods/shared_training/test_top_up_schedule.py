"""A run goes on until it has moved the model, and one cycle is the run that there would be without cycles."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import get_scheduler

from alignment.methods.dpo.settings import DpoSettings
from alignment.methods.kto.settings import KtoSettings
from alignment.methods.shared_training.scale import CYCLES
from alignment.methods.shared_training.top_up_schedule import UntilMoved, gains, moved, planned, sawtooth


def rates(scheduler: LambdaLR, optimizer: torch.optim.Optimizer, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)


def test_the_first_cycle_and_each_top_up_have_the_rates_of_a_linear_decay() -> None:
    ours, theirs = optimizer(), optimizer()
    linear = rates(get_scheduler("linear", theirs, num_warmup_steps=0, num_training_steps=8), theirs, 8)
    assert rates(sawtooth(ours, 8), ours, 14) == linear + [1e-3, 5e-4] * 3


def test_steps_are_planned_to_the_end_of_the_cycle_or_top_up() -> None:
    assert [planned(step, 8) for step in (0, 1, 8, 9, 10, 11, 16)] == [8, 8, 8, 10, 10, 12, 16]
    assert [planned(step, 2) for step in (0, 2, 3)] == [2, 2, 3]


def test_distance_counts_moves_in_either_direction() -> None:
    before = ([-1.0, -1.0], [-1.0, -1.0])
    after = ([1.0, -3.0], [-2.0, -1.0])
    assert gains(after, before) == [3.0, -2.0]
    assert moved([3.0, -2.0]) == pytest.approx((6.5) ** 0.5)


def stopped_at(distances: list[float]) -> tuple[int, list[float]]:
    left = iter(distances)
    callback = UntilMoved(lambda: next(left), cycle=8, enough=2.0)
    state = SimpleNamespace(global_step=0, log_history=[])
    control = SimpleNamespace(should_training_stop=False)
    while state.global_step < 12 and not control.should_training_stop:
        state.global_step += 1
        callback.on_step_end(None, state, control)
    return state.global_step, [entry["distance"] for entry in state.log_history]


def test_a_run_ends_after_the_cycle_or_top_up_that_moved_the_model_far_enough() -> None:
    assert stopped_at([2.5]) == (8, [2.5])
    assert stopped_at([1.0, 2.0]) == (10, [1.0, 2.0])
    assert stopped_at([0.5, 0.5, 0.5]) == (12, [0.5, 0.5, 0.5])


def test_who_sets_epochs_gets_those_and_no_more() -> None:
    assert DpoSettings().cycles == KtoSettings().cycles == CYCLES
    assert DpoSettings(epochs=2).cycles == KtoSettings(epochs=2).cycles == 1
