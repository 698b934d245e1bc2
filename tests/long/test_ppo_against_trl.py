"""The study of PPO beside TRL's: what is done, what the lines say, what memory counts; and one real small run."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.long import ppo_against_trl as study
from tests.long.lines import spread
from tests.long.processes import measured

ROOT = Path(__file__).resolve().parents[2]


def line(seed: int, ours: tuple[float, float], trl: tuple[float, float], **more: Any) -> dict[str, Any]:
    """A line whose sides are (seconds, win rate)."""
    about = {"what": "speed", "seed": seed, "dtype": "fp32", "threads": 1, "steps": 8, "checkpointing": False}
    sides = {
        side: {"training_s": seconds, "cpu_s": 2 * seconds, "peak_gib": 1.0, "win_rate": rate}
        for side, (seconds, rate) in (("ours", ours), ("trl", trl))
    }
    return {**about, **sides, **more}


def test_ratios_are_medians_of_the_pairs_and_points_have_a_lower_bound_over_seeds() -> None:
    lines = [line(1, (10, 0.80), (40, 0.79)), line(2, (30, 0.82), (60, 0.81)), line(3, (10, 0.81), (50, 0.80))]
    found = study.summary(lines)
    assert found["training_s"] == {"ours": 10, "trl": 50, "ratio": 0.25}  # of 0.25, 0.5 and 0.2
    assert found["cpu_s"]["ratio"] == 0.25
    assert found["points"] == {"mean": 1.0, "lower": 1.0, "each": [1.0, 1.0, 1.0]}


def test_the_interval_over_seeds_is_students() -> None:
    mean, half = spread([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert half == pytest.approx(4.3027 / math.sqrt(3), abs=1e-3)
    assert spread([5.0]) == (5.0, math.inf)


def test_lines_of_memory_have_no_win_rate_to_compare() -> None:
    sides = {side: {"training_s": 1.0, "cpu_s": 1.0, "peak_gib": gib} for side, gib in (("ours", 1.5), ("trl", 4.5))}
    found = study.summary([line(1, (1, 0), (1, 0)) | {"what": "memory"} | sides])
    assert found["peak_gib"]["ratio"] == pytest.approx(0.333)
    assert "points" not in found


def test_another_dtype_or_kind_of_a_seed_is_another_line() -> None:
    one = line(1, (1, 1), (1, 1))
    assert study.key(one) == study.key(json.loads(json.dumps(one)))
    assert len({study.key({**one, **other}) for other in ({}, {"dtype": "bf16"}, {"what": "memory"}, {"seed": 2})}) == 4


def test_without_trls_environment_the_study_says_how_to_make_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study.main(["--trl", str(tmp_path / "python"), "--out", str(tmp_path / "lines.jsonl")]) == 2
    assert "make study NAME=ppo_against_trl makes it" in capsys.readouterr().err


def test_trls_environment_differs_from_ours_in_trl_alone() -> None:
    def pins(name: str) -> dict[str, str]:
        rows = (ROOT / "locks" / name).read_text(encoding="utf-8").splitlines()
        return dict(row.split("==", 1) for row in rows if "==" in row and not row.startswith("#"))

    mine, peer = pins("cpu.txt"), pins("trl-ppo.txt")
    assert peer.pop("trl") == "1.12.0"
    assert {name: mine.get(name) for name in peer} == peer


@pytest.mark.slow
def test_memory_is_summed_over_a_process_and_what_it_starts(tmp_path: Path) -> None:
    hold = "import time; held = bytearray(60 << 20); time.sleep(0.6)"
    start = f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {hold!r}]); {hold}; child.wait()"
    one = measured([sys.executable, "-c", hold], tmp_path / "one.log", cwd=tmp_path)
    two = measured([sys.executable, "-c", start], tmp_path / "two.log", cwd=tmp_path)
    assert (one.code, two.code) == (0, 0)
    assert one.seconds > 0.6
    assert two.peak_gib > one.peak_gib + 50 / 1024


@pytest.mark.slow
def test_the_merged_reward_model_scores_as_the_one_base_does(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification

    from alignment.methods.online.model import rectangle
    from alignment.methods.shared_training.loading import load_tokenizer
    from alignment.stage.spec import StageSpec
    from tests.alignment.tiny_model import make_tiny_model

    model = make_tiny_model(tmp_path / "model")
    study.random_reward(model, tmp_path / "reward")
    shake(tmp_path / "reward" / "member-0" / "adapter_model.safetensors")
    study.whole_reward(tmp_path / "reward", model, tmp_path / "whole")
    sequences = [[5, 6, 7, 8], [9, 10, 11], [12, 13, 14, 15, 16]]
    tokenizer = load_tokenizer(str(model))
    spec = StageSpec("ppo", tmp_path, str(model), tmp_path / "out", {}, 1, reward=tmp_path / "reward")
    ours = study.our_scores(spec, tokenizer, sequences)
    alone = AutoModelForSequenceClassification.from_pretrained(tmp_path / "whole", num_labels=1).eval()
    ids, mask, _ = rectangle(sequences, [1, 1, 1], tokenizer.pad_token_id, "cpu")
    with torch.no_grad():
        theirs = alone(input_ids=ids, attention_mask=mask).logits[:, 0].tolist()
    assert max(map(abs, ours)) > 0
    assert ours == pytest.approx(theirs, abs=1e-4)


def shake(weights: Path) -> None:
    """Give an adapter's second matrices numbers: new ones are zero, and then any merge would be right."""
    import torch
    from safetensors.torch import load_file, save_file

    generator = torch.Generator().manual_seed(2)
    found = load_file(weights)
    for name, tensor in found.items():
        if "lora_B" in name:
            found[name] = 0.1 * torch.randn(tensor.shape, generator=generator)
    save_file(found, weights)


@pytest.mark.long
@pytest.mark.skipif(not study.TRL.is_file(), reason="make study NAME=ppo_against_trl makes TRL 1.12.0's environment")
def test_one_seed_on_the_same_rewards_takes_less_time_and_memory(tmp_path: Path) -> None:
    out = tmp_path / "lines.jsonl"
    assert study.main(["--seeds", "1", "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["scores_differ"] < 1e-3
    assert found["ours"]["cpu_s"] < found["trl"]["cpu_s"] / 2
    assert found["ours"]["win_rate"] > found["trl"]["win_rate"] - 0.1
