"""`alignloop suite`: bring questions, look at them, and choose what the gate asks."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from feedback_app.commands.app import app
from feedback_app.commands.evaluate import evaluate_names
from feedback_app.errors import UsageError
from feedback_app.processes.output import Output
from feedback_app.settings import shipped_data


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALIGNLOOP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ALIGNLOOP_MODEL", "tiny")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return tmp_path / "home"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows = [{"prompt": f"What is {n}?", "check": {"exact": str(n)}, "category": "numbers"} for n in range(4)]
    path = tmp_path / "counting.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (*rows, {"prompt": "?"})), encoding="utf-8")
    return path


def told(*words: str) -> dict[str, Any]:
    """What `alignloop suite … --json` prints; raises what the command raises."""
    said = io.StringIO()
    CliRunner().invoke(app, ["suite", *words], obj=Output(True, said), catch_exceptions=False)
    found = json.loads(said.getvalue())
    assert isinstance(found, dict)
    return found


def shown(*words: str) -> str:
    """What it prints for people."""
    result = CliRunner().invoke(app, ["suite", *words], obj=Output(False), catch_exceptions=False)
    return result.output


def test_a_suite_is_added_with_what_was_left_out_and_the_gate_asks_it(file: Path) -> None:
    added = told("add", str(file), "--margin", "5")
    assert (added["name"], added["items"], added["margin"], added["asked"]) == ("counting", 4, 5.0, True)
    assert added["left_out"] == [{"line": 5, "reason": "none of the forms of a suite has just these keys"}]
    assert (added["forms"], added["categories"]) == ({"checked": 4}, {"numbers": 4})
    assert told("show", "counting") == added
    listed = {each["name"]: each["asked"] for each in told("list")["suites"]}
    assert listed == {"tiny": True, "general": False, "counting": True}


def test_people_see_the_margin_that_so_few_questions_cannot_hold(file: Path) -> None:
    said = shown("add", str(file), "--margin", "5")
    assert "counting: 4 questions (4 checked), asked by the gate, margin 5 points" in said
    assert "A margin of 5 points needs 80 questions; the gate will hold." in said
    assert "left out: 1 lines" in said
    assert "line 5: none of the forms" in said


def test_the_gate_is_switched(file: Path) -> None:
    told("add", str(file))
    assert told("gate", "counting", "off")["asked"] is False
    assert told("gate", "counting", "on")["asked"] is True
    assert "general: not for this model" in shown("list")
    with pytest.raises(UsageError, match="The suite general was made for other models"):
        told("gate", "general", "on")


def test_the_shipped_suites_can_be_looked_at() -> None:
    tiny, general = told("show", "tiny"), told("show", "general")
    assert (tiny["items"], len(tiny["categories"]), tiny["asked"]) == (600, len(tiny["categories"]), True)
    assert (general["items"], len(general["categories"]), general["fits"]) == (1272, 14, False)


@pytest.mark.slow
def test_evaluate_asks_another_model_its_own_suites_and_not_the_questions_of_tiny(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model"
    shutil.copytree(shipped_data() / "model", model)
    monkeypatch.setenv("ALIGNLOOP_MODEL", str(model))
    monkeypatch.setenv("ALIGNLOOP_EVALUATION_MINUTES", "0.001")
    monkeypatch.setenv("ALIGNLOOP_VLLM_PORT", "9")
    told("add", str(file))
    found = evaluate_names(str(model), "base", "", None, 1, 0, capability=True)
    assert [(suite["name"], suite["n"], suite["items"]) for suite in found["suites"]] == [
        ("general", 32, 1272),
        ("counting", 4, 4),
    ]
    assert all(suite["loss"]["points"] == 0 for suite in found["suites"]), "it is the same model twice"
    assert found["capability"]["n"] == 32
    assert set(found["capability"]["by_category"]) <= set(told("show", "general")["categories"])
