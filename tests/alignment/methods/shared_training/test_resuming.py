"""Every method on a tiny random model: killed and continued, run twice, and what it reports on the way.

All of it runs in two processes with different hash seeds, each stage in a fork of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from alignment.dataset.judgement import Mark
from alignment.methods.registry import CARDS
from alignment.stage.artifact import read_manifest, verify
from alignment.stage.checkpoints import CHECKPOINTS, holds_one
from alignment.stage.spec import Setting, StageSpec
from tests.alignment.builders import like, ranking, vote
from tests.alignment.compiled import write_compiled
from tests.alignment.tiny_model import ANSWERS_TEMPLATE, make_tiny_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # the first test waits for them all

ROOT = Path(__file__).resolve().parents[4]
FP32: dict[str, Setting] = {"dtype": "fp32"}
ANSWERING: dict[str, Setting] = {**FP32, "max_tokens": 6, "rate": 1e-3}


@dataclass(frozen=True)
class Case:
    """A stage's settings, and the step at which it is killed: after its pass over the rows began anew."""

    stage: str
    kill: int
    settings: dict[str, Setting]
    resumed_at: int = 0  # where the last checkpoint is; by default one step before

    @property
    def goes_on_at(self) -> int:
        return self.resumed_at or self.kill - 1


CASES = {
    "dpo": Case("dpo", 5, {**FP32, "batch": 4, "epochs": 3}),
    "kto": Case("kto", 5, {**FP32, "batch": 4, "epochs": 3}),
    "reward": Case("reward", 5, {**FP32, "batch": 4, "epochs": 2}),
    "reward, the second member of two": Case("reward", 10, {**FP32, "batch": 4, "epochs": 2, "members": 2}),
    "reward, whole weights": Case("reward", 3, {**FP32, "batch": 4, "epochs": 1, "full": True}),
    "sft": Case("sft", 8, {"batch_size": 4, "epochs": 3.0, "log_every": 1, "bf16": False}),
    "ppo": Case(
        "ppo",
        3,
        {**ANSWERING, "steps": 4, "rollouts": 8, "epochs": 2, "minibatch": 4, "target_kl": 0.5, "mix": 0.1},
    ),
    "rloo": Case("rloo", 12, {**ANSWERING, "steps": 4, "rollouts": 16, "answers": 2, "minibatch": 8}, resumed_at=8),
    "grpo": Case("grpo", 12, {**ANSWERING, "steps": 4, "rollouts": 16, "answers": 2, "minibatch": 8}, resumed_at=8),
    "online-dpo": Case("online-dpo", 3, {**ANSWERING, "steps": 4, "pairs": 6, "minibatch": 4}),
    "constitution": Case("constitution", 128, {"max_tokens": 6}, resumed_at=64),
}


# What shares its training code with another case is left to `make test-long`.
LONG = {"reward, the second member of two", "reward, whole weights", "grpo", "constitution"}
NAMES = [pytest.param(name, marks=pytest.mark.long) if name in LONG else name for name in CASES]


@dataclass(frozen=True)
class Ran:
    """Folders by case: uninterrupted in two processes, killed, continued in another folder; how the killed ended."""

    straight: dict[str, Path]
    again: dict[str, Path]
    killed: dict[str, Path]
    resumed: dict[str, Path]
    statuses: dict[str, int]


def run_all(folder: Path, jobs: Sequence[tuple[StageSpec, int | None]], hash_seed: int) -> list[int]:
    file = folder / f"jobs-{hash_seed}.json"
    file.write_text(json.dumps([{"spec": json.loads(spec.to_json()), "kill": kill} for spec, kill in jobs]))
    done = subprocess.run(
        [sys.executable, "-m", "tests.alignment.methods.many_stages", str(file)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
    )
    (folder / f"log-{hash_seed}.txt").write_text(done.stderr)
    assert done.returncode == 0, done.stderr[-3000:]
    statuses = [json.loads(line)["status"] for line in done.stdout.splitlines() if line.startswith('{"status"')]
    assert len(statuses) == len(jobs), done.stderr[-6000:]
    return statuses


def material(folder: Path) -> tuple[Path, Path]:
    """(model, dataset): judgements of all kinds, an odd number, so that passes end with an incomplete batch."""
    from transformers import AutoTokenizer

    model = make_tiny_model(folder / "model")
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = ANSWERS_TEMPLATE
    tokenizer.save_pretrained(model)
    judgements = [
        *(vote(i, f"Gladly, friend {i}!", f"No {i}.", (1, 2), prompt=f"Question {i}?") for i in range(11)),
        *(like(20 + i, f"Well {i}", Mark.GOOD if i % 3 else Mark.BAD, prompt=f"Say {i}!") for i in range(11)),
        *(ranking(60 + i, [1, 2, 3], prompt=f"Name {i}.") for i in range(2)),
    ]
    write_compiled(judgements, folder / "data")
    imitated = [{"prompt": f"Go {i}!", "completion": f"Good, {'so ' * i}{i}."} for i in range(11)]
    (folder / "data" / "sft.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in imitated))
    return model, folder / "data"


@pytest.fixture(scope="module")
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Every case that a test of this run asks for, in two processes."""
    asked = {item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")}
    cases = {name: case for name, case in CASES.items() if name in asked}
    folder = tmp_path_factory.mktemp("resuming")
    model, data = material(folder)
    prompts = folder / "prompts.jsonl"
    prompts.write_text("".join(f'{{"prompt": "Tell {i}."}}\n' for i in range(180)))
    (folder / "rules.txt").write_text("Be kind.\nBe brief.\nBe true.\n")
    reward = StageSpec("reward", data, str(model), folder / "reward", {**FP32, "epochs": 1}, 1, checkpoint_s=-1)

    def spec_of(name: str, out: Path, resume: Path | None = None, every: float = -1.0) -> StageSpec:
        case = CASES[name]
        settings = dict(case.settings)
        if case.stage == "constitution":
            settings |= {"prompts": str(prompts), "principles": str(folder / "rules.txt")}
        of = reward.out if CARDS[case.stage].needs_reward else None
        return StageSpec(case.stage, data, str(model), out, settings, 3, None, "", of, resume, every)

    def folders(kind: str) -> dict[str, Path]:
        return {name: folder / kind / str(number) for number, name in enumerate(cases)}

    straight, again, killed, resumed = map(folders, ("straight", "again", "killed", "resumed"))
    run_all(folder, [(reward, None), *((spec_of(name, straight[name]), None) for name in cases)], 1)
    jobs: list[tuple[StageSpec, int | None]] = []
    for name, case in cases.items():
        jobs += [
            (spec_of(name, again[name]), None),
            (spec_of(name, killed[name], every=0.0), case.kill),
            (spec_of(name, resumed[name], resume=killed[name]), None),
        ]
    statuses = dict(zip(((s.out.parent.name, s.out.name) for s, _ in jobs), run_all(folder, jobs, 2), strict=True))
    of_killed = {name: statuses["killed", path.name] for name, path in killed.items()}
    return Ran(straight, again, killed, resumed, of_killed)


def made(folder: Path) -> dict[str, bytes]:
    """The files of an artifact."""
    return {name: (folder / name).read_bytes() for name in verify(folder).files}


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]


def timeless(folder: Path) -> list[dict[str, Any]]:
    return [{name: value for name, value in record.items() if name != "seconds_left"} for record in records(folder)]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_bytes_in_another_process(ran: Ran, name: str) -> None:
    assert made(ran.straight[name]) == made(ran.again[name])
    assert timeless(ran.straight[name]) == timeless(ran.again[name])


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_killed_in_the_middle_goes_on_and_ends_with_the_same_bytes(ran: Ran, name: str) -> None:
    case = CASES[name]
    assert ran.statuses[name] == -9
    assert records(ran.killed[name])[-1]["step"] == case.kill
    assert holds_one(ran.killed[name])
    manifest = read_manifest(ran.resumed[name])
    assert manifest.metrics["resumed_at"] == case.goes_on_at
    assert made(ran.resumed[name]) == made(ran.straight[name])
    assert not (ran.resumed[name] / CHECKPOINTS).exists()


@pytest.mark.parametrize("name", NAMES)
def test_the_records_go_on_behind_those_of_the_attempt_that_died(ran: Ran, name: str) -> None:
    assert [record["number"] for record in records(ran.resumed[name])] == [
        record["number"] for record in records(ran.straight[name])
    ]
    assert timeless(ran.resumed[name]) == timeless(ran.straight[name])


@pytest.mark.parametrize("name", NAMES)
def test_every_method_reports_the_live_metrics(ran: Ran, name: str) -> None:
    first, *others = records(ran.straight[name])
    assert first["step"] == 0
    assert first["steps"] == others[-1]["step"] == others[-1]["steps"]
    for record in others:
        assert set(CARDS[CASES[name].stage].live) <= set(record), record
    assert others[-1]["seconds_left"] == 0


def test_no_method_lacks_a_case() -> None:
    assert {case.stage for case in CASES.values()} | {"pretrain"} == set(CARDS)
