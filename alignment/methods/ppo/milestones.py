"""Policies kept on the way, one each time the root of KL has changed by as much, for a watch to judge."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from alignment.methods.adapters import POLICY, save_adapter
from alignment.methods.ppo.model import OneBase
from alignment.watch import Milestone, Watch

FOLDER, LIST = "milestones", "milestones.jsonl"


class Milestones:
    """Follows one run: `before` each step, `after` with what the step's rollouts said of the policy before it."""

    def __init__(self, model: OneBase, out: Path, spacing: float, watch: Watch | None) -> None:
        """A `spacing` of 0 keeps nothing."""
        self._model = model
        self._out = out
        self._spacing = spacing
        self._watch = watch
        self._last = 0.0
        self._kept: list[torch.Tensor] = []

    def before(self) -> None:
        """Remember the policy as it is."""
        if self._spacing:
            self._kept = [parameter.detach().clone() for parameter in self._model.policy]

    def after(self, step: int, record: Mapping[str, Any]) -> bool:
        """Keep that policy if it is far enough from the last one that was; whether the watch says stop."""
        distance = math.sqrt(max(0.0, float(record["kl"])))
        if not self._spacing or abs(distance - self._last) < self._spacing:
            return False
        self._last = distance
        folder = self._out / FOLDER / f"step-{step}"
        now = [parameter.detach().clone() for parameter in self._model.policy]
        self._model.load_policy(self._kept)
        save_adapter(self._model.model, folder)
        self._model.load_policy(now)
        milestone = Milestone(step, float(record["kl"]), float(record["reward"]), adapter=str(folder))
        with (self._out / LIST).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(milestone)) + "\n")
        return self._watch is not None and self._watch.see(milestone)

    def go_back(self) -> str:
        """Take up the policy that the watch chooses; a sentence about it, empty without a watch or a milestone."""
        if self._watch is None or not self._watch.milestones:
            return ""
        chosen = self._watch.choose()
        kept = load_file(Path(chosen.adapter) / "adapter_model.safetensors")
        names = [name for name, _ in self._model.model.named_parameters() if f".{POLICY}." in name]
        self._model.load_policy([kept[name.replace(f".{POLICY}.", ".")] for name in names])
        return (
            f"The watch went back to step {chosen.step}, {chosen.kl:.1f} nats per answer from the start, "
            f"after {self._watch.spent} blind judgements."
        )
