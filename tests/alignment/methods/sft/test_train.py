"""Supervised finetuning learns an answer, and not what the conversation before it has the assistant say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alignment.dataset.judgement import Message
from alignment.dataset.left_out import LeftOut
from alignment.dataset.reading.feedback import demonstration
from alignment.dataset.reading.formats.openai import write_chat
from alignment.errors import StageError
from alignment.methods.registry import run_stage
from alignment.methods.sft import train as sft
from alignment.stage.spec import StageSpec
from tests.alignment.tiny_model import ANSWERS_TEMPLATE, make_tiny_model

BEFORE = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "INVENTED"},
    {"role": "user", "content": "Go on"},
]
ANSWER = {"role": "assistant", "content": "Learned."}


class Stop(Exception):
    """Ends the stage right before it would train."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    (folder / "chat_template.jinja").write_text(ANSWERS_TEMPLATE, encoding="utf-8")
    config.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def learned(data: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The text that the loss of each row is on, as the trainer has it."""
    from transformers import AutoTokenizer

    seen: list[Any] = []

    def stop(trainer: Any, spec: StageSpec) -> None:
        seen.extend(trainer.train_dataset)
        raise Stop

    monkeypatch.setattr("alignment.methods.shared_training.resuming.train_on", stop)
    with pytest.raises(Stop):
        sft.train(StageSpec("sft", data, str(model), data / "out", {"bf16": False}), lambda row: None)
    tokenizer: Any = AutoTokenizer.from_pretrained(model)
    return [tokenizer.decode([label for label in row["labels"] if label != -100]) for row in seen]


@pytest.mark.slow
def test_of_a_row_worth_imitating_the_completion_alone_is_learned(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sft.jsonl").write_text(json.dumps({"prompt": BEFORE, "completion": [ANSWER]}), encoding="utf-8")
    assert learned(tmp_path, model, monkeypatch) == ["Learned.<|end|>"]


@pytest.mark.slow
def test_of_an_exported_conversation_the_last_answer_alone_is_learned(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = tuple(Message(turn["role"], turn["content"]) for turn in BEFORE)
    exported = [write_chat(demonstration(prompt, "Learned.")), write_chat(demonstration(prompt[:1], "Alone."))]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, exported)), encoding="utf-8")
    assert learned(tmp_path, model, monkeypatch) == ["Learned.<|end|>", "Alone.<|end|>"]


@pytest.mark.slow
def test_of_a_conversation_without_weights_every_answer_is_learned(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "train.jsonl").write_text(json.dumps({"messages": [*BEFORE, ANSWER]}), encoding="utf-8")
    assert learned(tmp_path, model, monkeypatch) == ["INVENTED<|end|>Learned.<|end|>"]


def test_a_file_of_turns_that_are_all_only_to_be_read_has_nothing_to_learn(tmp_path: Path) -> None:
    turns = [*BEFORE, {**ANSWER, "weight": 0}]
    turns[1] = {**turns[1], "weight": 0}  # type: ignore[dict-item]
    (tmp_path / "train.jsonl").write_text(json.dumps({"messages": turns}), encoding="utf-8")
    left = LeftOut()
    assert sft.read_rows(tmp_path, left) == []
    assert left.sentence() == "1 without an assistant's turn"


def test_a_file_without_a_row_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sft.jsonl").touch()
    with pytest.raises(sft.SftDataError, match="has 0: collect corrections"):
        sft.read_rows(tmp_path, LeftOut())


@pytest.mark.slow
def test_a_template_that_does_not_mark_the_answers_is_refused_in_a_sentence(tmp_path: Path) -> None:
    unmarked = make_tiny_model(tmp_path / "model")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.jsonl").write_text(json.dumps({"messages": [*BEFORE, ANSWER]}), encoding="utf-8")
    with pytest.raises(StageError, match="which words of this model's chat template are the assistant's"):
        run_stage(StageSpec("sft", tmp_path / "data", str(unmarked), tmp_path / "out", {"max_steps": 1}))
