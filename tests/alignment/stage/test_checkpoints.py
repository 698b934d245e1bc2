"""What counts as a checkpoint, and how an attempt goes on from one, whatever it trains."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alignment.stage import runner
from alignment.stage.checkpoints import CHECKPOINTS, clear, fetch, holds_one, newest, whole
from alignment.stage.spec import Progress, StageSpec

STEPS = 6


class Dies(Exception):
    """Stands for the end of the process."""


def counts(spec: StageSpec, progress: Progress) -> dict[str, Any]:
    """A stage whose state is a number; a checkpoint after each even step."""
    found = newest(spec)
    total = int((found.folder / "total").read_text()) if found else 0
    for step in range(1 + (found.step if found else 0), STEPS + 1):
        total += step
        progress({"step": step, "steps": STEPS, "loss": float(total)})
        if step % 2 == 0:
            keep(spec, step, str(total))
    (spec.out / "total").write_text(str(total))
    return {}


def keep(spec: StageSpec, step: int, text: str) -> Path:
    folder = spec.out / CHECKPOINTS / f"step-{step}"
    folder.mkdir(parents=True)
    (folder / "total").write_text(text)
    whole(folder, spec, step, {"text": text})
    return folder


@pytest.fixture
def spec(tmp_path: Path) -> StageSpec:
    return StageSpec("counts", tmp_path / "data", "model", tmp_path / "out", {"beta": 0.1}, 3)


def die_at(step: int) -> Progress:
    def listener(record: Mapping[str, Any]) -> None:
        if record["step"] == step:
            raise Dies

    return listener


def numbered(folder: Path) -> list[tuple[int, int]]:
    lines = (folder / "progress.jsonl").read_text().splitlines()
    return [(record["number"], record["step"]) for record in map(json.loads, lines)]


def test_the_same_spec_again_goes_on_in_the_same_folder(spec: StageSpec) -> None:
    with pytest.raises(Dies):
        runner.run_stage(counts, spec, die_at(5))
    assert numbered(spec.out)[-1] == (5, 5)
    with (spec.out / "progress.jsonl").open("a") as file:
        file.write('{"number": 6, "st')  # killed while it wrote
    heard: list[Mapping[str, Any]] = []
    manifest = runner.run_stage(counts, spec, heard.append)
    assert [record["step"] for record in heard] == [5, 6]
    assert numbered(spec.out) == [(number, number) for number in range(1, STEPS + 1)]
    assert (spec.out / "total").read_text() == "21"
    assert manifest.metrics["resumed_at"] == 4
    assert set(manifest.files) == {"total"}


def test_another_folder_goes_on_and_leaves_the_first_as_it_was(spec: StageSpec, tmp_path: Path) -> None:
    with pytest.raises(Dies):
        runner.run_stage(counts, spec, die_at(3))
    again = replace(spec, out=tmp_path / "again", resume=spec.out, checkpoint_s=3.0)
    assert runner.run_stage(counts, again).metrics["resumed_at"] == 2
    assert numbered(again.out) == [(number, number) for number in range(1, STEPS + 1)]
    assert numbered(spec.out) == [(1, 1), (2, 2), (3, 3)]
    assert holds_one(spec.out)
    clear(spec.out)
    assert not holds_one(spec.out)


@pytest.mark.parametrize("change", [{"seed": 4}, {"settings": {"beta": 0.2}}, {"model": "other"}])
def test_a_checkpoint_of_another_run_is_not_gone_on_from(spec: StageSpec, change: dict[str, Any]) -> None:
    with pytest.raises(Dies):
        runner.run_stage(counts, spec, die_at(5))
    other = replace(spec, **change)
    assert newest(other) is None
    assert "resumed_at" not in runner.run_stage(counts, other).metrics
    assert numbered(spec.out) == [(number, number) for number in range(1, STEPS + 1)]


def test_one_that_was_being_written_counts_for_nothing(spec: StageSpec) -> None:
    older = keep(spec, 2, "3")
    (spec.out / CHECKPOINTS / "step-4").mkdir()
    (spec.out / CHECKPOINTS / "step-4" / "whole.json.partial").write_text("{}")
    found = fetch(spec)
    assert found is not None
    assert (found.folder, found.step, found.notes) == (older, 2, {"text": "3"})


def test_a_new_one_replaces_the_one_before(spec: StageSpec) -> None:
    older, newer = keep(spec, 2, "3"), keep(spec, 4, "10")
    assert not older.exists()
    assert newer.is_dir()


@pytest.mark.slow  # imports torch
def test_checkpoints_are_as_rare_as_asked_and_cost_a_twentieth_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    from alignment.methods.shared_training import resuming

    now = 100.0
    monkeypatch.setattr(resuming.time, "monotonic", lambda: now)
    pace = resuming.Pace(20.0)
    assert not pace.due()
    now = 120.0
    assert pace.due()
    pace.written(seconds=3.0)
    now = 179.0
    assert not pace.due()
    now = 180.0
    assert pace.due()
    assert not resuming.Pace(-1.0).due()
