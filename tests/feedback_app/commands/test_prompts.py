"""`alignloop prompts`: a team's own, kept, split, listed and used; bad rows are said with their lines."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from alignment.dataset.judgement import Message
from alignment.evaluation.tastes import TASTES
from alignment.stage.sampler import Sample, Sampling
from feedback_app.commands.app import app
from feedback_app.commands.evaluate import Heard, judged, read_prompts
from feedback_app.errors import Conflict, UsageError
from feedback_app.processes.output import Output


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALIGNLOOP_HOME", str(tmp_path / "home"))
    for name in ("ALIGNLOOP_MODEL", "ALIGNLOOP_PROMPTS", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.jsonl"
    rows = [json.dumps({"prompt": f"Question {number}?"}) for number in range(12)]
    path.write_text("\n".join([*rows, "nonsense", '{"text": 1}']) + "\n", encoding="utf-8")
    return path


def asked(*arguments: str) -> dict[str, Any]:
    stream = io.StringIO()
    done = CliRunner().invoke(app, ["prompts", *arguments, "--json"], obj=Output(True, stream))
    if done.exception is not None:
        raise done.exception
    found: dict[str, Any] = json.loads(stream.getvalue())
    return found


def test_prompts_that_are_added_are_used(mine: Path) -> None:
    added = asked("add", str(mine))
    assert (added["set"], added["new"], added["in_use"]) == ("mine", True, True)
    assert added["train"] + added["held_out"] == 12
    assert added["bad"] == [{"line": 13, "reason": "not JSON"}, {"line": 14, "reason": 'no "prompt"'}]
    listed = asked("list")
    assert listed["in_use"] == "mine"
    assert [(each["name"], each["in_use"]) for each in listed["sets"]] == [
        ("tiny", False),
        ("starter", False),
        ("mine", True),
    ]
    assert asked("use", "starter")["train"] == 490
    assert asked("list")["in_use"] == "starter"


def test_they_may_be_kept_without_being_used(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked("add", str(mine), "--no-use", "--name", "later")["in_use"] is False
    assert asked("list")["in_use"] == "tiny"
    monkeypatch.setenv("ALIGNLOOP_PROMPTS", str(mine))
    assert asked("add", str(mine))["in_use"] is False  # the variable decides
    assert asked("list")["in_use"].startswith("mine-")
    with pytest.raises(Conflict, match="ALIGNLOOP_PROMPTS"):
        asked("use", "later")


def test_people_are_told_which_rows_are_none(mine: Path) -> None:
    done = CliRunner().invoke(app, ["prompts", "add", str(mine)])
    assert "mine: " in done.output
    assert "2 rows are no prompts" in done.output
    assert "line 13: not JSON" in done.output


def test_evaluate_reads_the_same_files(mine: Path, tmp_path: Path) -> None:
    assert len(read_prompts(mine)) == 12
    with pytest.raises(UsageError, match="cannot be read"):
        read_prompts(tmp_path / "missing.jsonl")


class Two:
    """A sampler of two models: one says what it is asked about, the other dodges."""

    def sample(self, version: str, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[list[Sample]]:
        said = "The {} is as they say, and has been for long." if version == "good" else "How {} wonderful!"
        return [[Sample(said.format(prompt[-1].content if version == "good" else ""), "stop")] for prompt in prompts]


def test_a_judge_that_wants_an_answer_first_is_told_the_prompt() -> None:
    prompts = [(Message("user", f"Tell me of river {name}"),) for name in ("Rhine", "Nile", "Amur")]
    heard = Heard(Two())
    for version in ("bad", "good", "bad"):  # what is asked later, for capability, is not compared
        heard.sample(version, prompts, Sampling(1.0, 8, 0))
    found = judged(TASTES["short"], prompts, *heard.answers)
    assert (found["wins"], found["losses"], found["ties"], found["win_rate"]) == (0, 3, 0, 0.0)
    cut = [Sample(each.text, "length") for each in heard.answers[1]]
    assert judged(TASTES["short"], prompts, heard.answers[0], cut)["ties"] == 3
