"""One row that cannot be used never ends a stage: it is left out, counted with its reason, and named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from alignment.errors import StageError
from alignment.methods.registry import CARDS, run_stage
from alignment.stage.spec import Setting, StageSpec
from tests.alignment.tiny_model import make_tiny_model

LONG = "so " * 200  # beyond the tiny model's 256 tokens
Record = dict[str, Any]
FIELDS = {"pairs": ("chosen", "rejected"), "marks": ("completion",), "sft": ("completion",)}


def said(role: str, content: Any = "Hm.") -> Record:
    return {"role": role, "content": content}


def row(kind: str, prompt: Any, judgement: str, **more: Any) -> Record:
    answers = dict(zip(FIELDS[kind], ("Gladly!", "No."), strict=False))
    label = {"label": len(judgement) % 2 == 0} if kind == "marks" else {}
    return {"prompt": prompt, "judgements": [judgement], **answers, **label, **more}


def good(kind: str, count: int = 10) -> list[Record]:
    rows = [row(kind, [said("user", f"Question {i}?")], f"j{i:03d}") for i in range(count)]
    for number, each in enumerate(rows):
        if kind == "marks":
            each["label"] = number % 2 == 0
    return rows


def broken(kind: str) -> list[Record]:
    """A row for each thing that one person who chats can make of a message, and two that are read all the same."""
    first, *others = FIELDS[kind]
    rows = [
        row(kind, [said("user", "A line\u2028apart\u0085?")], "line-separator"),
        row(kind, [said("developer", "Be brief."), said("user", "Developer?")], "developer"),
        row(kind, [said("user", "Tool?"), said("tool", "42")], "tool"),
        row(kind, [said("user", "Function?"), said("function", "42")], "function"),
        row(kind, [said("user", None)], "null"),
        row(kind, [said("user", [{"type": "image_url", "image_url": {"url": "x"}}])], "image"),
        row(kind, [said("user", "Half a letter \ud800?")], "surrogate"),
        row(kind, [said("user", " ")], "blank"),
        row(kind, [said("user", LONG)], "long-prompt"),
        row(kind, "Long?", "long-answer", **{first: LONG}),
        row(kind, "Nothing?", "no-answer", **{first: " "}, **({"label": True} if kind == "marks" else {})),
    ]
    return [*rows, row(kind, "Same?", "same", chosen="Yes.", rejected=" Yes. ")] if others else rows


def write(folder: Path, **tables: list[Record]) -> Path:
    folder.mkdir(parents=True)
    for name, rows in tables.items():
        text = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in rows)
        # What cannot be written as UTF-8 comes escaped, as JSON lets it.
        (folder / f"{name}.jsonl").write_bytes(text.encode("utf-8", "backslashreplace"))
    return folder


NAMES = {
    "template": {"tool", "function"},
    "not_text": {"null"},
    "has images": {"image"},
    "empty": {"blank", "no-answer"},
    "prompt_too_long": {"long-prompt"},
    "answer_too_long": {"long-answer"},
}
SAME = {"same_answers": {"same"}}
HALF = "a character that no database keeps (NUL or half of a pair)"  # such a line has no record, and no judgement
SMALL: dict[str, dict[str, Setting]] = {
    "sft": {"max_steps": 1, "batch_size": 4},
    "dpo": {"epochs": 1, "dtype": "fp32"},
    "kto": {"epochs": 1, "dtype": "fp32"},
    "reward": {"epochs": 1, "dtype": "fp32"},
    "ppo": {"steps": 1, "rollouts": 8, "minibatch": 8, "microbatch": 8, "max_tokens": 8, "dtype": "fp32", "mix": 0.1},
    "rloo": {"steps": 1, "rollouts": 8, "answers": 4, "minibatch": 8, "max_tokens": 8, "dtype": "fp32"},
    "grpo": {"steps": 1, "rollouts": 8, "answers": 4, "minibatch": 8, "max_tokens": 8, "dtype": "fp32"},
    "online-dpo": {"steps": 1, "pairs": 8, "minibatch": 4, "max_tokens": 8, "dtype": "fp32"},
}
TABLES = {"sft": "sft", "dpo": "pairs", "kto": "marks", "reward": "pairs"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose chat template raises on a role that it does not know, as the embedded one does."""
    from alignment.methods.pretrain.tokenizer import CHAT_TEMPLATE

    folder = make_tiny_model(tmp_path_factory.mktemp("left-out") / "model")
    for name in ("chat_template.jinja",):
        (folder / name).write_text(CHAT_TEMPLATE)
    return folder


@pytest.fixture(scope="module")
def reward(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("left-out-reward")
    data = write(folder / "data", pairs=good("pairs"))
    run_stage(StageSpec("reward", data, str(model), folder / "out", SMALL["reward"]))
    return folder / "out"


def named(metrics: Mapping[str, Any]) -> dict[str, set[str]]:
    return {reason: set(found["judgements"]) for reason, found in metrics["left_out_rows"].items()}


def kept(metrics: Mapping[str, Any]) -> int:
    rows = metrics["rows"]
    return int(rows["train"] if isinstance(rows, Mapping) else rows)


@pytest.mark.slow
@pytest.mark.parametrize("stage", TABLES)
def test_rows_that_cannot_be_used_are_left_out_counted_and_named(model: Path, tmp_path: Path, stage: str) -> None:
    kind = TABLES[stage]
    data = write(tmp_path / "data", **{kind: [*good(kind), *broken(kind)]})
    metrics = run_stage(StageSpec(stage, data, str(model), tmp_path / "out", SMALL[stage])).metrics
    expected = {**NAMES, **(SAME if kind == "pairs" else {}), HALF: {f"line 17 of {kind}.jsonl"}}
    if stage == "sft":  # a whole conversation has no part that is its prompt
        expected = {**expected, "answer_too_long": {"long-prompt", "long-answer"}}
        expected.pop("prompt_too_long")
        expected["empty"] = {"no-answer"}
    assert named(metrics) == expected
    assert metrics["left_out"] == {reason: len(ids) for reason, ids in expected.items()}
    assert "unknown role" in metrics["left_out_rows"]["template"]["words"]
    assert kept(metrics) == 12 + (stage == "sft")  # the line separator is text, and developer is system


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["ppo", "rloo", "grpo", "online-dpo"])
def test_prompts_that_cannot_be_answered_are_left_out_and_named(
    model: Path, reward: Path, tmp_path: Path, stage: str
) -> None:
    tables = {kind: [*good(kind), *broken(kind)] for kind in ("pairs", "sft")}
    data = write(tmp_path / "data", **tables)
    spec = StageSpec(stage, data, str(model), tmp_path / "out", SMALL[stage], reward=reward)
    metrics = run_stage(spec).metrics
    found = named(metrics)
    assert found["template"] == NAMES["template"]
    assert found["prompt_too_long"] == {"long-prompt"}
    assert "null" in found["not_text"]
    assert "image" in found["has images"]
    # What is too long an answer is not asked for; of what import skips, nothing is read.
    assert metrics["prompts"] == 10 + 3


@pytest.mark.slow
def test_a_constitution_leaves_out_prompts_that_its_own_model_cannot_answer(model: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "data", pairs=[*good("pairs"), *broken("pairs")])
    (tmp_path / "rules.txt").write_text("Be kind.\n")
    settings: dict[str, Setting] = {"principles": str(tmp_path / "rules.txt"), "max_tokens": 4, "dtype": "fp32"}
    try:
        metrics = run_stage(StageSpec("constitution", data, str(model), tmp_path / "out", settings)).metrics
    except StageError as error:  # a random model advises nothing: what matters is that it was asked
        assert "made nothing usable of 13 prompts" in str(error)  # noqa: PT017
    else:
        assert named(metrics)["template"] == NAMES["template"]


@pytest.mark.slow
def test_pretraining_leaves_out_conversations_that_are_not_text(tmp_path: Path) -> None:
    talks = [{"messages": [said("user", f"Q{i}?"), said("assistant", "A.")]} for i in range(40)]
    bad = [
        {"messages": [said("user", "Q?"), said("tool", "42"), said("assistant", "A.")]},
        {"messages": [said("user", None), said("assistant", "A.")]},
        {"messages": [said("user", " ")]},
        {"messages": "Q?"},
    ]
    read = [
        {"messages": [said("developer", "Be\u2028brief."), said("user", "Q?"), said("assistant", "A.")]},
    ]
    data = write(tmp_path / "data", train=[*talks, *bad, *read])
    settings: dict[str, Setting] = {"hidden_size": 16, "intermediate_size": 32, "layers": 1, "heads": 1, "steps": 2}
    settings |= {"row_length": 64, "batch_rows": 2, "vocabulary": 300}
    metrics = run_stage(StageSpec("pretrain", data, None, tmp_path / "out", settings)).metrics
    other = "a key is missing or of another kind"
    assert metrics["left_out"] == {"not_text": 1, "no_answer": 1, "template": 1, other: 1}


def test_every_stage_is_covered() -> None:
    assert {*TABLES, "ppo", "rloo", "grpo", "online-dpo", "constitution", "pretrain"} == set(CARDS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "needs"),
    [("sft", "sft needs at least 1"), ("dpo", "dpo needs at least 8"), ("kto", "0 likes and 0 dislikes")],
)
def test_when_no_row_is_left_one_sentence_says_why(model: Path, tmp_path: Path, stage: str, needs: str) -> None:
    kind = TABLES[stage]
    rows = [row(kind, [said("user", f"Tool {i}?"), said("tool", "42")], f"j{i}") for i in range(9)]
    for number, each in enumerate(rows):
        each.update({"label": number % 2 == 0} if kind == "marks" else {})
    data = write(tmp_path / "data", **{kind: rows})
    with pytest.raises(StageError) as refused:
        run_stage(StageSpec(stage, data, str(model), tmp_path / "out", SMALL[stage]))
    sentence = str(refused.value)
    assert "9 of 9" in sentence
    assert "9 refused by the model's chat template (unknown role: tool)" in sentence
    assert needs in sentence
    assert "\n" not in sentence
