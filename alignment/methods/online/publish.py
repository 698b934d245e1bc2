"""Rollouts from elsewhere: the policy as it is now, saved as an adapter and handed to whoever samples from it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

from alignment.methods.shared_training.adapters import save_adapter
from alignment.stage.checkpoints import CHECKPOINTS
from alignment.stage.sampler import Elsewhere, Sampler
from alignment.stage.spec import StageSpec

Publish = Callable[[Any, int], str]
"""Makes the policy of a PEFT model, as it is at a step, known elsewhere, under the version's name that it returns."""


def publisher(sampler: Sampler | None, spec: StageSpec) -> Publish | None:
    """How `sampler` gets the policy; None for one that has it. Each step has a folder of its own until the next."""
    if not isinstance(sampler, Elsewhere):
        return None

    def publish(model: Any, step: int) -> str:
        parent = (spec.out / CHECKPOINTS / "rollouts").resolve()
        folder = parent / f"step-{step}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        save_adapter(model, folder)
        name = sampler.publish(folder, step)
        for other in parent.iterdir():  # unloaded by now, so that nobody reads its files any more
            if other != folder:
                shutil.rmtree(other)
        return name

    return publish
