"""Checkpoints of an attempt that is under way, so that the next one need not begin at step 0.

    OUT/checkpoints/…/            one folder for each, of whatever files the stage wrote
    OUT/checkpoints/…/whole.json  written last and renamed into place: which spec it belongs to, and how far it got

A folder without `whole.json` was being written when its process died and counts for nothing. The folder goes
when the stage is done: what it holds is pickled, and an artifact is not. Standard library only: what is in a
checkpoint is the business of `alignment.methods.shared_training.resuming`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypedDict

from alignment.files import ended_lines, sync, write_whole
from alignment.records import StageMetrics
from alignment.stage.spec import StageSpec

CHECKPOINTS, WHOLE, PROGRESS = "checkpoints", "whole.json", "progress.jsonl"
LIBRARIES = ("torch", "transformers", "trl", "peft", "tokenizers", "safetensors")


class Notes(TypedDict, total=False):
    """What a stage notes beside the files of a checkpoint; each fills in its own.

    Reward: the `members` that are trained, with their `accuracies`, `scores` and `ends`. TRL's online trainers: the
    `unit` of the rewards.
    """

    members: int
    accuracies: list[float]
    scores: list[float]
    ends: StageMetrics
    unit: dict[str, float] | None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A whole one: its folder, the stage's step that it was written after, and what else the stage noted."""

    folder: Path
    step: int
    notes: Notes = field(default_factory=lambda: Notes())


def trainer_folder(out: Path, part: int = 0) -> Path:
    """Where a library's trainer puts what it writes on the way; `part` numbers the trainers of one stage."""
    return out / CHECKPOINTS / f"trainer-{part}"


def library_versions() -> dict[str, str]:
    """The training libraries that are installed."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def newest(spec: StageSpec) -> Checkpoint | None:
    """The furthest whole checkpoint in `spec.out` that an attempt at the very same left; None when there is none."""
    found = [_read(path, spec) for path in (spec.out / CHECKPOINTS).rglob(WHOLE)]
    return max((one for one in found if one is not None), key=lambda one: one.step, default=None)


def whole(folder: Path, spec: StageSpec, step: int, notes: Notes | None = None) -> None:
    """Call the checkpoint in `folder` whole, after its files have reached the disk, and remove all others."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            sync(path)
    write_whole(folder / WHOLE, json.dumps({"same": _same(spec), "step": step, "notes": notes or {}}))
    for other in list((spec.out / CHECKPOINTS).rglob(WHOLE)):
        if other.parent != folder:
            other.unlink()  # first, so that one that is half removed is not taken for whole
            shutil.rmtree(other.parent)


def fetch(spec: StageSpec) -> Checkpoint | None:
    """The checkpoint to go on from, brought into `spec.out` from `spec.resume` where it lies there.

    `progress.jsonl` is then that of the steps before it; checkpoints of anything else are removed.
    """
    found = newest(spec)
    if found is None and spec.resume is not None:
        shutil.rmtree(spec.out / CHECKPOINTS, ignore_errors=True)
        earlier = newest(_at(spec, spec.resume))
        if earlier is not None:
            _keep_progress(spec.resume / PROGRESS, spec.out / PROGRESS, earlier.step)
            there = spec.out / earlier.folder.relative_to(spec.resume)
            shutil.copytree(earlier.folder, there, ignore=shutil.ignore_patterns(WHOLE))
            whole(there, spec, earlier.step, earlier.notes)
            return newest(spec)
    if found is None:
        shutil.rmtree(spec.out / CHECKPOINTS, ignore_errors=True)
        return None
    _keep_progress(spec.out / PROGRESS, spec.out / PROGRESS, found.step)
    return found


def holds_one(folder: Path) -> bool:
    """Whether an attempt's folder has a whole checkpoint, of whatever spec."""
    return next((folder / CHECKPOINTS).rglob(WHOLE), None) is not None


def clear(folder: Path) -> None:
    """Remove an attempt's checkpoints: it is done, or nobody will go on from it."""
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


def _read(path: Path, spec: StageSpec) -> Checkpoint | None:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return Checkpoint(path.parent, int(raw["step"]), raw["notes"]) if raw["same"] == _same(spec) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _same(spec: StageSpec) -> str:
    """A hash of all that decides what a stage makes: two specs with the same one may continue each other."""
    told = {name: value for name, value in json.loads(spec.to_json()).items() if name not in _ELSEWHERE}
    return hashlib.sha256(json.dumps([told, library_versions()], sort_keys=True).encode()).hexdigest()


_ELSEWHERE = ("out", "resume", "checkpoint_s")  # where and how often, which change no number


def _at(spec: StageSpec, out: Path) -> StageSpec:
    return StageSpec.from_json(json.dumps({**json.loads(spec.to_json()), "out": str(out), "resume": None}))


def _keep_progress(source: Path, target: Path, step: int) -> None:
    """The records up to a step, as the file that the attempt goes on with; never half written."""
    try:
        lines = ended_lines(source.read_text(encoding="utf-8"))
    except OSError:
        lines = []
    kept = [line for line in lines if int(json.loads(line).get("step") or 0) <= step]
    write_whole(target, "".join(f"{line}\n" for line in kept))
