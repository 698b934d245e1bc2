"""Policies kept on the way, one each time the root of KL has changed by as much, for a watch to judge."""

from __future__ import annotations

import json
import math
import shutil
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypedDict, cast

import torch
from safetensors.torch import load_file

from alignment.files import write_whole
from alignment.methods.online.model import OneBase
from alignment.methods.ppo.overoptimization import Milestone, Watch
from alignment.methods.shared_training.adapters import POLICY, save_adapter
from alignment.records import StepRecord, WatchRecord

FOLDER, LIST = "milestones", "milestones.jsonl"


class KeptMilestone(TypedDict):
    """A `Milestone` in a checkpoint."""

    step: int
    kl: float
    proxy: float
    wins: float
    judged: int
    scripted: int
    adapter: str


class MilestonesState(TypedDict):
    """What `Milestones.begin` goes on from."""

    last: float
    unasked: bool
    kept: list[KeptMilestone]


class Milestones:
    """Follows one run: `before` each step, `after` with what its rollouts said of the policy before it, then `stop`.

    `state` belongs into a checkpoint between `after` and `stop`, so that a run that is killed while people are asked
    goes on by asking.
    """

    def __init__(self, model: OneBase, out: Path, spacing: float, watch: Watch | None) -> None:
        """A `spacing` of 0 keeps nothing."""
        self._model = model
        self._out = out
        self._spacing = spacing
        self._watch = watch
        self._last = 0.0
        self._unasked = False
        self._policy: list[torch.Tensor] = []
        self.waited_s = 0.0  # for people
        self.kept: list[Milestone] = watch.milestones if watch is not None else []

    def begin(self, state: MilestonesState | None) -> None:
        """Begin where `state` was taken; None is the beginning. What a dead attempt left beyond that goes."""
        if state is not None:
            self._last, self._unasked = float(state["last"]), bool(state["unasked"])
            self.kept[:] = [self._here(Milestone(**each)) for each in state["kept"]]
        wanted = {Path(milestone.adapter).name for milestone in self.kept}
        for left in (self._out / FOLDER).glob("*"):
            if left.name not in wanted:
                shutil.rmtree(left)
        self._write()

    def state(self) -> MilestonesState:
        """What `begin` goes on from."""
        kept = [cast(KeptMilestone, asdict(milestone)) for milestone in self.kept]
        return {"last": self._last, "unasked": self._unasked, "kept": kept}

    def before(self) -> None:
        """Remember the policy as it is."""
        if self._spacing:
            self._policy = [parameter.detach().clone() for parameter in self._model.policy]

    def after(self, step: int, record: StepRecord) -> bool:
        """Keep that policy if it is far enough from the last one that was; whether it was kept."""
        distance = math.sqrt(max(0.0, float(record["kl"])))
        if not self._spacing or abs(distance - self._last) < self._spacing:
            return False
        self._last = distance
        folder = self._folder(step)
        now = [parameter.detach().clone() for parameter in self._model.policy]
        self._model.load_policy(self._policy)
        save_adapter(self._model.model, folder)
        self._model.load_policy(now)
        self.kept.append(Milestone(step, float(record["kl"]), float(record["reward"]), adapter=str(folder)))
        self._write()
        self._unasked = self._watch is not None
        return True

    def stop(self) -> bool:
        """Have the watch judge what was kept since it was last asked; whether it says that the run should stop."""
        if self._watch is None or not self._unasked:
            return False
        began = time.perf_counter()
        stop = self._watch.ask()
        self.waited_s += time.perf_counter() - began
        self._unasked = False
        self._write()
        return stop

    def go_back(self, stopped: str) -> str:
        """Take up the policy that the watch chooses, and say why the run ended and where it went.

        `stopped` says why it ended where that was not the watch's doing, and comes back as it is without a watch.
        """
        watch = self._watch
        if watch is None or not watch.milestones:
            return stopped
        why = watch.why()
        ended = f"The watch ended the run at step {watch.milestones[-1].step}, {why}." if why else ""
        first = stopped or ended or "The run took all its steps."
        began = time.perf_counter()
        chosen = watch.choose()
        self.waited_s += time.perf_counter() - began
        self._write()
        if not watch.spent:
            return f"{first} Nobody judged a milestone, so the policy of the last step is handed on."
        kept = load_file(Path(chosen.adapter) / "adapter_model.safetensors")
        names = [name for name, _ in self._model.model.named_parameters() if f".{POLICY}." in name]
        self._model.load_policy([kept[name.replace(f".{POLICY}.", ".")] for name in names])
        return (
            f"{first} The watch went back to step {chosen.step}, {chosen.kl:.1f} nats per answer from the start, "
            f"after {watch.spent} blind judgements."
        )

    def evidence(self, stopped: str) -> WatchRecord | None:
        """What the watch saw, for the stage's metrics; None without one. `stopped` is what `go_back` said."""
        watch = self._watch
        if watch is None:
            return None
        return {
            "budget": watch.budget,
            "judged": watch.spent,
            "scripted": sum(milestone.scripted for milestone in watch.milestones),
            "chosen": watch.best().step if watch.spent else None,
            "why": stopped or "The policy never moved as far as one milestone, so nobody was asked.",
            "milestones": [
                {
                    "step": milestone.step,
                    "distance": round(milestone.distance, 4),
                    "reward": milestone.proxy,
                    "wins": milestone.wins,
                    "judged": milestone.judged,
                }
                for milestone in watch.milestones
            ],
        }

    def _folder(self, step: int) -> Path:
        return self._out / FOLDER / f"step-{step}"

    def _here(self, milestone: Milestone) -> Milestone:
        """The milestone with its adapter in this attempt's folder, from that of the attempt that made it."""
        folder = self._folder(milestone.step)
        if Path(milestone.adapter) != folder:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(milestone.adapter, folder)
        return replace(milestone, adapter=str(folder))

    def _write(self) -> None:
        """The list as it is now, or none while it is empty; a stage taken again in the same folder adds nothing."""
        path = self._out / LIST
        if not self.kept:
            path.unlink(missing_ok=True)
            return
        write_whole(path, "".join(f"{json.dumps(asdict(each))}\n" for each in self.kept))
