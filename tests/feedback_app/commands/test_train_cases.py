"""Folders as people have them, handed to `alignloop train --data`: what is trained on, left out or refused."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from feedback_app.commands.app import run
from feedback_app.processes.output import Output
from tests.alignment.tiny_model import make_tiny_model

pytestmark = pytest.mark.slow

CASES = Path(__file__).resolve().parents[2] / "cases"
EXPECTED: dict[str, dict[str, Any]] = {
    each["file"]: each for each in json.loads((CASES / "EXPECT.json").read_text()) if each["kind"] == "train"
}
SMALL = {
    "dpo": ["epochs=1", "dtype=fp32", "layers=0.5"],
    "kto": ["epochs=1", "dtype=fp32", "layers=0.5"],
    "sft": ["max_steps=1", "batch_size=8"],
    "reward": ["epochs=1", "dtype=fp32"],
}


@dataclass(frozen=True, slots=True)
class Trained:
    """What the command did: its code, its one object, and the metrics in it."""

    code: int
    said: Mapping[str, Any]

    @property
    def metrics(self) -> Mapping[str, Any]:
        found = self.said["metrics"]
        assert isinstance(found, Mapping)
        return found

    @property
    def figures(self) -> dict[str, Any]:
        """What EXPECT.json names; sft says its rows as one number, dpo and kto say them by side."""
        rows = self.metrics["rows"]
        by_side = rows if isinstance(rows, Mapping) else {"train": rows}
        return {
            "exit": self.code,
            "rows": by_side["train"],
            "left_out": sum(self.metrics["left_out"].values()),
            "likes": by_side.get("likes"),
            "dislikes": by_side.get("dislikes"),
        }

    @property
    def learned(self) -> Any:
        """The same only for the same rows in the same order: the loss, margins and log-probabilities."""
        return self.metrics.get("last") or self.metrics["loss"]


class Trainer:
    """Trains each folder once: several cases are compared with the same one."""

    def __init__(self, folder: Path) -> None:
        from alignment.methods.pretrain.tokenizer import CHAT_TEMPLATE

        self._folder = folder
        self._model = make_tiny_model(folder / "model")
        # It raises on a role that it does not know.
        (self._model / "chat_template.jinja").write_text(CHAT_TEMPLATE)
        self._done: dict[str, Trained] = {}

    def case(self, name: str) -> Trained:
        """What becomes of a case."""
        if name not in self._done:
            self._done[name] = self.train(EXPECTED[name]["stage"], CASES / name)
        return self._done[name]

    def train(self, stage: str, data: Path) -> Trained:
        """The command, in this process."""
        out = self._folder / f"out-{len(list(self._folder.glob('out-*')))}"
        out.mkdir()
        words = ["train", stage, "--data", str(data), "--model", str(self._model), "--out", str(out / "artifact")]
        words += [word for setting in SMALL[stage] for word in ("--set", setting)]
        stream = io.StringIO()
        code = run([*words, "--json"], Output(True, stream))
        return Trained(code, json.loads(stream.getvalue()))


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    return Trainer(tmp_path_factory.mktemp("cases"))


def problems(name: str, expected: Mapping[str, Any], trainer: Trainer) -> list[str]:
    """Where a case differs from what is expected of it."""
    found = trainer.case(name)
    if expected["exit"] != 0:
        text = str(found.said.get("error", "")).replace(str(CASES), "").replace(name, "")
        missing = [each for each in expected["says"] if not re.search(each, text, re.IGNORECASE)]
        return [] if found.code == 1 and not missing else [f"exit {found.code}: {text}"]
    if found.code:
        return [f"exit {found.code}: {found.said}"]
    figures = found.figures
    wrong = [
        f"{key} is {figures[key]}, not {expected[key]}"
        for key in figures
        if key in expected and figures[key] != expected[key]
    ]
    if (other := expected.get("same_as")) and found.learned != trainer.case(other).learned:
        wrong.append(f"{found.learned} is not what {other} learned: {trainer.case(other).learned}")
    return wrong


@pytest.mark.parametrize("name", EXPECTED)
def test_a_folder_is_trained_on_as_import_would_read_it(name: str, trainer: Trainer) -> None:
    expect = EXPECTED[name]["expect"]
    found = [problems(name, each, trainer) for each in expect.get("any", [expect])]
    assert [] in found, found


def test_a_file_is_trained_on_as_a_folder_is(trainer: Trainer) -> None:
    found = trainer.train("dpo", CASES / "train/plain/pairs.jsonl")
    assert (found.code, found.learned) == (0, trainer.case("train/plain").learned)


@pytest.mark.parametrize("name", ["train-00000-of-00001.parquet", "rows.csv", "rows.json", "rows.jsonl.gz"])
def test_what_holds_the_rows_changes_nothing(name: str, trainer: Trainer, tmp_path: Path) -> None:
    import gzip

    import pandas

    frame = pandas.read_json(CASES / "train/plain/pairs.jsonl", lines=True)
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / name
    if name.endswith("parquet"):
        frame.to_parquet(path)
    elif name.endswith("csv"):
        frame.map(json.dumps).to_csv(path, index=False)
    elif name.endswith("json"):
        path.write_text(frame.to_json(orient="records"))
    else:
        path.write_bytes(gzip.compress((CASES / "train/plain/pairs.jsonl").read_bytes()))
    found = trainer.train("dpo", tmp_path / "data")
    assert (found.code, found.learned) == (0, trainer.case("train/plain").learned), found.said


def test_what_is_left_out_names_the_line_and_what_is_not_read_is_named(trainer: Trainer, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(CASES / "train/tool_role", data)
    (data / "notes.csv").write_text("question,answer\nWell?,Yes.\n")
    metrics = trainer.train("dpo", data).metrics
    assert metrics["left_out_rows"]["template"]["judgements"] == ["line 9 of pairs.jsonl"]
    assert metrics["notes"] == ["Not read in data: notes.csv."]


def test_feedback_for_another_stage_is_refused_and_said(trainer: Trainer) -> None:
    found = trainer.train("dpo", CASES / "train/kto_plain")
    assert found.code == 1
    assert "holds no pairs, but 8 marks (for kto)" in found.said["error"]


def test_rankings_train_a_reward_model_and_their_pairs_a_policy(trainer: Trainer, tmp_path: Path) -> None:
    lines = [
        {
            "prompt": f"Name {i}?",
            "responses": [{"text": f"Best {i}.", "rank": 1}, {"text": "So.", "rank": 2}, {"text": "No.", "rank": 3}],
        }
        for i in range(8)
    ]
    (tmp_path / "rankings.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    reward, dpo = trainer.train("reward", tmp_path), trainer.train("dpo", tmp_path)
    assert reward.metrics["rows"] == {"train": 8, "held_out": 0, "pairs": 0, "rankings": 8}, reward.said
    assert dpo.figures["rows"] == 24
