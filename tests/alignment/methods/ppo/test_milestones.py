"""Policies kept on the way, a run that goes back to one of them, and people who are asked in the middle of it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from alignment.errors import StageError
from alignment.methods.ppo.overoptimization import Milestone, Watch
from alignment.methods.ppo.train import train
from alignment.methods.registry import run_stage
from alignment.stage.artifact import read_manifest
from alignment.stage.people_channel import Votes, answer, asked, folder_of
from alignment.stage.spec import StageSpec
from tests.alignment.methods.ppo.small import spec_for

pytestmark = pytest.mark.slow

FAST = {"steps": 12, "rate": 2e-2, "beta": 0.0, "stop_step_kl": 0.0, "milestones": 0.02}


def weights(folder: Path) -> dict[str, list[float]]:
    return {name: value.flatten().tolist() for name, value in load_file(folder / "adapter_model.safetensors").items()}


def test_the_watch_ends_the_run_and_the_adapter_is_the_milestone_it_chose(
    made: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    asked: list[Milestone] = []

    def judge(milestone: Milestone, judgements: int) -> Votes:
        if milestone not in asked:
            asked.append(replace(milestone))
        return Votes(judgements if milestone.step == asked[0].step else 0.0, judgements)

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


PEOPLE = {**FAST, "steps": 6, "watch": 12}


def said(step: int, judgements: int) -> Votes:
    """What people say of a milestone: the first ones are liked."""
    return Votes(judgements if step < 3 else 0.0, judgements, judgements // 2)


@contextlib.contextmanager
def people(out: Path) -> Iterator[list[int]]:
    """Answer whatever the stage that writes `out` asks, as a worker would; the steps that were asked about."""
    over, steps = threading.Event(), list[int]()

    def answering() -> None:
        while not over.wait(0.02):
            question = asked(out)
            if question is not None:
                steps.append(question.step)
                answer(out, question, said(question.step, question.judgements))

    thread = threading.Thread(target=answering)
    thread.start()
    try:
        yield steps
    finally:
        over.set()
        thread.join()


def killed_while_asking(spec: StageSpec) -> None:
    """Run the stage in a process of its own and kill it when it asks about its second milestone."""
    spec.out.mkdir(parents=True)
    (spec.out / "spec.json").write_text(spec.to_json())
    command = [sys.executable, "-m", "alignment.run", str(spec.out / "spec.json")]
    child = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    first, deadline = None, time.monotonic() + 120
    while time.monotonic() < deadline and child.poll() is None:
        question = asked(spec.out)
        if question is not None and first not in (None, question.step):
            break
        if question is not None:
            first = question.step
            answer(spec.out, question, said(question.step, question.judgements))
        time.sleep(0.02)
    assert child.poll() is None, "it was to be killed while it waits"
    child.kill()
    child.wait()


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]


def milestones(folder: Path) -> list[dict[str, Any]]:
    """What milestones.jsonl says, wherever it lies."""
    lines = (folder / "milestones.jsonl").read_text().splitlines()
    return [{**json.loads(line), "adapter": ""} for line in lines]


def test_people_are_asked_through_files_and_their_answers_choose_the_policy(
    made: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "ppo-1"
    with people(out) as steps:
        manifest = run_stage(spec_for(made, out, **PEOPLE))
    watch = manifest.metrics["watch"]
    assert watch["judged"] == 12
    assert watch["scripted"] > 0
    assert [seen["step"] for seen in watch["milestones"]] == sorted(set(steps))
    assert weights(out) == weights(out / "milestones" / f"step-{watch['chosen']}")
    assert f"went back to step {watch['chosen']}," in watch["why"]
    waiting = [record for record in records(out) if record.get("waiting")]
    first = min(steps)
    assert waiting[0]["waiting"] == f"step {first}: 0 of 4 blind judgements, 0 of at most 12 in all"
    assert {"step", "steps", "loss", "kl", "reward", "seconds_left"} <= set(waiting[0])
    assert "waiting" not in records(out)[-1]
    assert not folder_of(out).exists()
    assert [(line["step"], line["judged"]) for line in milestones(out)] == [
        (seen["step"], seen["judged"]) for seen in watch["milestones"]
    ]


def test_a_run_killed_while_people_are_asked_goes_on_with_their_votes_bit_for_bit(
    made: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    straight, killed, resumed = (tmp_path / name for name in ("straight", "killed", "resumed"))
    with people(straight):
        run_stage(spec_for(made, straight, **PEOPLE))
    killed_while_asking(spec_for(made, killed, **PEOPLE))
    with people(resumed) as steps:
        manifest = run_stage(replace(spec_for(made, resumed, **PEOPLE), resume=killed))
    first, second, *_ = milestones(straight)
    assert manifest.metrics["resumed_at"] == second["step"] + 1
    assert steps[0] == second["step"], "what the first one's judges said was kept"
    assert weights(resumed) == weights(straight)
    assert milestones(resumed) == milestones(straight)
    assert manifest.metrics["watch"] == read_manifest(straight).metrics["watch"]
    for each in (first, second):
        folder = Path("milestones") / f"step-{each['step']}"
        assert weights(resumed / folder) == weights(straight / folder)


def test_a_run_that_nobody_judges_goes_on_and_hands_on_its_last_policy(
    made: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    alone = {**PEOPLE, "patience_minutes": 0.0}
    manifest = run_stage(spec_for(made, tmp_path / "alone", **alone))
    run_stage(spec_for(made, tmp_path / "plain", **{**alone, "watch": 0}))
    watch = manifest.metrics["watch"]
    assert (watch["judged"], watch["chosen"]) == (0, None)
    assert watch["why"].endswith("Nobody judged a milestone, so the policy of the last step is handed on.")
    assert weights(tmp_path / "alone") == weights(tmp_path / "plain")


def test_a_stage_taken_again_in_the_same_folder_lists_its_milestones_once(
    made: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    spec = spec_for(made, tmp_path / "out", **{**FAST, "steps": 4})
    train(spec, lambda record: None)
    listed = milestones(spec.out)
    stale = spec.out / "milestones" / "step-99"
    stale.mkdir()
    train(spec, lambda record: None)
    assert milestones(spec.out) == listed != []
    assert not stale.exists()


def test_a_watch_without_milestones_is_refused(made: tuple[Path, Path, Path], tmp_path: Path) -> None:
    with pytest.raises(StageError, match="watch needs milestones to judge"):
        run_stage(spec_for(made, tmp_path / "out", watch=100))
