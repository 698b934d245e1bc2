"""Policies kept on the way, and a run that goes back to one of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from alignment.methods.ppo.train import train
from alignment.watch import Milestone, Watch
from tests.alignment.methods.ppo.test_train import made, spec_for

pytestmark = pytest.mark.slow
__all__ = ["made"]  # the fixture

FAST = {"steps": 12, "rate": 2e-2, "beta": 0.0, "stop_step_kl": 0.0, "milestones": 0.02}


def weights(folder: Path) -> dict[str, list[float]]:
    return {name: value.flatten().tolist() for name, value in load_file(folder / "adapter_model.safetensors").items()}


def test_the_watch_ends_the_run_and_the_adapter_is_the_milestone_it_chose(
    made: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    asked: list[Milestone] = []

    def judge(milestone: Milestone, count: int) -> float:
        if milestone not in asked:
            asked.append(replace(milestone))
        return float(count if milestone.step == asked[0].step else 0)

    watch = Watch(judge, budget=40, each=10)
    metrics = train(spec_for(made, tmp_path, **FAST), lambda record: None, watch=watch)
    assert metrics["steps"] < 12
    chosen = watch.choose()
    assert f"went back to step {chosen.step}," in metrics["stopped"]
    assert weights(tmp_path) == weights(Path(chosen.adapter))
    assert len({str(weights(Path(milestone.adapter))) for milestone in watch.milestones}) == len(watch.milestones) > 1


def test_without_a_watch_milestones_are_kept_and_the_run_is_the_same(
    made: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    kept = train(spec_for(made, tmp_path / "kept", **FAST), lambda record: None)
    plain = train(spec_for(made, tmp_path / "plain", **{**FAST, "milestones": 0.0}), lambda record: None)
    assert kept["last"] == plain["last"]
    assert weights(tmp_path / "kept") == weights(tmp_path / "plain")
    found = [path.name for path in (tmp_path / "kept" / "milestones").iterdir()]
    assert len(found) == len((tmp_path / "kept" / "milestones.jsonl").read_text().splitlines()) > 1
    assert not (tmp_path / "plain" / "milestones").exists()
