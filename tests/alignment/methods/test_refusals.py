"""Every method refuses what it cannot use in one sentence that counts: what it needs, and how many there are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from alignment.errors import StageError
from alignment.methods.registry import CARDS, run_stage
from alignment.stage.artifact import is_complete
from alignment.stage.spec import Setting, StageSpec
from tests.alignment.tiny_model import make_tiny_model

pytestmark = pytest.mark.slow

LONG = "so " * 200  # beyond the tiny model's 256 tokens
Rows = Mapping[str, list[dict[str, Any]]]


def pairs(count: int, answer: str = "Yes", **more: Any) -> list[dict[str, Any]]:
    return [{"prompt": f"Q{i}?", "chosen": f"{answer} {i}.", "rejected": "No.", **more} for i in range(count)]


def marks(likes: int, dislikes: int, answer: str = "Yes") -> list[dict[str, Any]]:
    labels = [True] * likes + [False] * dislikes
    return [{"prompt": f"Q{i}?", "completion": f"{answer} {i}.", "label": label} for i, label in enumerate(labels)]


SHOWN = r"sft needs at least one conversation or row worth imitating; .* has 0: collect corrections\."
CASES: list[tuple[str, Rows, dict[str, Setting], str]] = [
    ("pretrain", {}, {}, r"needs at least one conversation .* has 0"),
    ("pretrain", {"train": []}, {}, r"needs at least one conversation .* has 0"),
    (
        "pretrain",
        {"train": [{"messages": [{"role": "assistant", "content": LONG}]}] * 2},
        {"row_length": 16},
        r"2 of 2 conversations are longer than 16 tokens",
    ),
    ("sft", {}, {}, SHOWN),
    ("sft", {"sft": []}, {}, SHOWN),
    ("sft", {"sft": [{"prompt": "Q?", "completion": "A.", "split": "held_out"}]}, {}, SHOWN),
    (
        "sft",
        {"train": [{"messages": [{"role": "user", "content": "Hi"}]}] * 3},
        {},
        r"3 of 3 rows .* without an assistant's turn",
    ),
    ("sft", {"sft": [{"prompt": "Q?", "completion": LONG}] * 2}, {}, r"2 of 2 rows are longer than 256 tokens"),
    ("dpo", {"pairs": []}, {}, r"dpo needs at least 8 pairs; this snapshot has 0: collect 8 more"),
    ("dpo", {"pairs": pairs(7)}, {}, r"this snapshot has 7: collect 1 more comparison\."),
    ("dpo", {"pairs": pairs(9, split="held_out")}, {}, r"dpo needs at least 8 pairs; this snapshot has 0"),
    ("dpo", {"pairs": pairs(9, LONG)}, {}, r"9 of 9 pairs are longer than the model's 256 tokens"),
    ("kto", {"marks": []}, {}, r"kto needs at least one like; this snapshot has 0 likes and 0 dislikes"),
    ("kto", {"marks": marks(9, 0)}, {}, r"kto needs at least one dislike; this snapshot has 9 likes and 0 dislikes"),
    ("kto", {"marks": marks(0, 3)}, {}, r"kto needs at least one like; this snapshot has 0 likes and 3 dislikes"),
    ("kto", {"marks": marks(3, 1)}, {}, r"at least 8 marked answers; .* 3 likes and 1 dislike: collect 4 more"),
    ("kto", {"marks": marks(5, 5, LONG)}, {}, r"10 of 10 marked answers are longer .* 0 likes and 0 dislikes"),
    ("reward", {"pairs": []}, {}, r"reward needs at least 8 pairs or rankings; this snapshot has 0: collect 8 more"),
    ("reward", {"pairs": pairs(9, LONG)}, {}, r"9 of 9 rows are longer than the model's 256 tokens"),
    ("ppo", {"pairs": pairs(3)}, {}, r"ppo needs at least 8 different prompts to answer; this snapshot has 3"),
    ("ppo", {"pairs": pairs(9), "sft": []}, {"mix": 1.0}, r"ppo's mix needs at least one row .* this snapshot has 0"),
    ("ppo", {"pairs": pairs(9)}, {"max_tokens": 255}, r"9 of 9 prompts are longer than the 1 tokens"),
    ("rloo", {"pairs": pairs(3)}, {}, r"rloo needs at least 8 different prompts to answer; this snapshot has 3"),
    ("grpo", {"pairs": pairs(3)}, {}, r"grpo needs at least 8 different prompts to answer; this snapshot has 3"),
    ("online-dpo", {"pairs": []}, {}, r"online-dpo needs at least 8 different prompts .* this snapshot has 0"),
    ("constitution", {"pairs": pairs(9)}, {}, r"constitution needs at least one principle and has 0"),
    ("constitution", {"pairs": pairs(9)}, {"principles": "EMPTY"}, r"at least one principle; .* has 0"),
    ("constitution", {"pairs": pairs(3)}, {"principles": "ONE"}, r"at least 8 different prompts .* has 3"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("refusals") / "model")


@pytest.mark.parametrize(("stage", "rows", "settings", "sentence"), CASES)
def test_what_cannot_be_used_is_refused_with_a_count(
    model: Path, tmp_path: Path, stage: str, rows: Rows, settings: dict[str, Setting], sentence: str
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name, listed in rows.items():
        (data / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in listed))
    (tmp_path / "EMPTY").write_text("# nothing yet\n")
    (tmp_path / "ONE").write_text("Be kind.\n")
    if "principles" in settings:
        settings = {**settings, "principles": str(tmp_path / str(settings["principles"]))}
    source = None if stage == "pretrain" else str(model)
    spec = StageSpec(stage, data, source, tmp_path / "out", settings, reward=tmp_path / "reward")
    with pytest.raises(StageError, match=sentence) as refused:
        run_stage(spec)
    assert "\n" not in str(refused.value)
    assert not is_complete(spec.out)


def test_every_method_has_a_refusal() -> None:
    assert {stage for stage, *_ in CASES} == set(CARDS)
