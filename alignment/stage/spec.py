"""What a stage is told: one JSON file, `spec.json`, in the attempt's folder.

A stage reads a folder and writes a folder; it never sees the database or the network settings.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from alignment.records import StepRecord
from alignment.terms import Setting as Setting

Progress = Callable[[StepRecord], None]
"""Takes one record, for instance {"step": 3, "steps": 30, "loss": 0.61, "seconds_left": 4.2}."""
PROCESS = "process"  # rollouts from the very model that is trained
VLLM = "vllm"  # or from vLLM, which is handed the policy before each step
CHECKPOINT_S = 20.0  # seconds between two checkpoints at least: a short run writes none


class SpecRecord(TypedDict, total=False):
    """A `StageSpec` as JSON; paths are texts."""

    stage: str
    data: str
    model: str | None
    out: str
    settings: dict[str, Setting]
    seed: int
    adapter: str | None
    data_hash: str
    reward: str | None
    resume: str | None
    checkpoint_s: float


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One attempt at one stage.

    `data` is a folder of rows (`pairs.jsonl`, `marks.jsonl`, `sft.jsonl`, `manifest.json`), `data_hash`
    its manifest's hash, `model` the base model (folder or hub name; None when training from nothing),
    `adapter` an adapter folder to continue from, `reward` the folder of a reward model for stages that learn
    from one, `out` the folder this attempt alone writes.
    `resume` is the folder of an earlier attempt at the very same, which is continued from its last checkpoint;
    a checkpoint is written at most every `checkpoint_s` seconds (negative: never).
    """

    stage: str
    data: Path
    model: str | None
    out: Path
    settings: Mapping[str, Setting] = field(default_factory=dict)
    seed: int = 0
    adapter: Path | None = None
    data_hash: str = ""
    reward: Path | None = None
    resume: Path | None = None
    checkpoint_s: float = CHECKPOINT_S

    def to_record(self) -> SpecRecord:
        """As a JSON object."""
        return {
            "stage": self.stage,
            "data": str(self.data),
            "model": self.model,
            "out": str(self.out),
            "settings": dict(self.settings),
            "seed": self.seed,
            "adapter": str(self.adapter) if self.adapter else None,
            "data_hash": self.data_hash,
            "reward": str(self.reward) if self.reward else None,
            "resume": str(self.resume) if self.resume else None,
            "checkpoint_s": self.checkpoint_s,
        }

    def to_json(self) -> str:
        """The file's text; keys sorted so that equal specs are equal bytes."""
        return json.dumps(self.to_record(), sort_keys=True, indent=1)

    @classmethod
    def from_json(cls, text: str) -> StageSpec:
        """The inverse of `to_json`. Raises `KeyError` or `ValueError` on a file that is not a spec."""
        raw = json.loads(text)
        return cls(
            stage=raw["stage"],
            data=Path(raw["data"]),
            model=raw["model"],
            out=Path(raw["out"]),
            settings=raw.get("settings", {}),
            seed=int(raw.get("seed", 0)),
            adapter=Path(raw["adapter"]) if raw.get("adapter") else None,
            data_hash=raw.get("data_hash", ""),
            reward=Path(raw["reward"]) if raw.get("reward") else None,
            resume=Path(raw["resume"]) if raw.get("resume") else None,
            checkpoint_s=float(raw.get("checkpoint_s", CHECKPOINT_S)),
        )
