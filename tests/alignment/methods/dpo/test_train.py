"""The DPO stage on a tiny random model: what it learns from, what it leaves, and that it repeats."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from alignment.dataset.judgement import Mark
from alignment.errors import StageError
from alignment.methods.registry import run_stage
from alignment.stage.artifact import is_complete, verify
from alignment.stage.spec import Setting
from tests.alignment.builders import like, vote, warm_votes
from tests.alignment.compiled import compile_rows
from tests.alignment.methods.specs import spec_of
from tests.alignment.tiny_model import make_tiny_model

pytestmark = pytest.mark.slow
spec_for = partial(spec_of, "dpo")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"))


def test_training_moves_the_margin_and_leaves_an_adapter_vllm_takes(model: Path, tmp_path: Path) -> None:
    records: list[Any] = []
    spec = spec_for(tmp_path, model, warm_votes(12), epochs=6, rate=5e-3)
    manifest = run_stage(spec, records.append)
    assert verify(spec.out) == manifest
    assert set(manifest.files) == {"adapter_config.json", "adapter_model.safetensors"}
    config = json.loads((spec.out / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["bias"]) == (16, 32, "none")
    assert config["modules_to_save"] is None
    assert not config["use_dora"]
    metrics = manifest.metrics
    assert metrics["rows"] == {"train": 12, "held_out": 0}
    assert metrics["steps"] == 12
    assert metrics["first"]["loss"] == pytest.approx(0.6931, abs=2e-3)
    assert metrics["last"]["margin"] > 0.1
    assert [record["step"] for record in records] == list(range(13))
    assert records[0]["steps"] == 12
    assert {"loss", "margin", "accuracy", "logps_chosen", "seconds_left"} <= set(records[-1])
    assert records[-1]["seconds_left"] == 0


@pytest.mark.parametrize("loss", ["ipo", "robust", "length-normalised"])
def test_every_loss_pulls_the_answers_apart(model: Path, tmp_path: Path, loss: str) -> None:
    metrics = run_stage(spec_for(tmp_path, model, warm_votes(12), epochs=6, rate=5e-3, loss=loss)).metrics
    assert metrics["loss"] == loss
    assert metrics["last"]["loss"] < metrics["first"]["loss"] - 0.05
    assert metrics["last"]["margin"] > metrics["first"]["margin"] + 0.1


@pytest.mark.parametrize("architecture", ["llama", "opt"])
def test_a_share_of_the_layers_is_counted_from_the_last(architecture: str, tmp_path: Path) -> None:
    from safetensors import safe_open

    model = make_tiny_model(tmp_path / "model", architecture=architecture)

    def trained(share: float) -> tuple[list[int], set[str]]:
        spec = spec_for(tmp_path, model, warm_votes(8), epochs=1, layers=share)
        metrics = run_stage(spec).metrics
        with safe_open(spec.out / "adapter_model.safetensors", "pt") as file:
            return metrics["layers"], {name.split(".layers.")[1].split(".")[0] for name in file.keys()}  # noqa: SIM118

    assert trained(0.5) == ([1], {"1"})
    assert trained(1.0) == ([0, 1], {"0", "1"})


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(model: Path, tmp_path: Path) -> None:
    weights = [
        (run_stage(spec), (spec.out / "adapter_model.safetensors").read_bytes())[1]
        for spec in (spec_for(tmp_path, model, warm_votes(10), seed=seed, epochs=2) for seed in (4, 4, 5))
    ]
    assert weights[0] == weights[1] != weights[2]


def test_held_out_pairs_are_measured_and_not_trained_on(model: Path, tmp_path: Path) -> None:
    judgements = warm_votes(110)
    compiled = compile_rows(judgements)
    manifest = run_stage(spec_for(tmp_path, model, judgements, epochs=1, rate=5e-3))
    assert manifest.metrics["rows"] == compiled.counts["rows"]["pairs"]
    assert manifest.metrics["rows"]["held_out"] > 0
    assert manifest.metrics["held_out_accuracy"] > 0.6  # both sides are of one make, so what was learned carries over


def test_texts_worth_imitating_are_mixed_in_when_set_each_once(model: Path, tmp_path: Path) -> None:
    corrected, alone = "Gladly, friend, four!", "Gladly, friend, five!"
    judgements = [
        *warm_votes(12),
        vote(20, ranks=(1, 2), marks=(Mark.BAD, Mark.BAD), prompt="Both bad?"),
        like(30, "Four.", None, correction=corrected, prompt="2 + 2?"),  # a pair, and the same text as an SFT row
        like(31, corrected, Mark.GOOD, person="p2", prompt="2 + 2?"),
        like(40, "Fi", None, correction=alone, prompt="2 + 3?", finish="length"),  # an SFT row alone
        like(41, alone, Mark.GOOD, person="p2", prompt="2 + 3?"),
    ]
    without = run_stage(spec_for(tmp_path, model, judgements, epochs=8, rate=5e-3)).metrics
    assert "nll" not in without["last"]
    records: list[Any] = []
    mixed = run_stage(spec_for(tmp_path, model, judgements, epochs=8, rate=5e-3, sft=1.0), records.append).metrics
    assert (mixed["rows"]["train"], mixed["sft_rows"], mixed["sft_rows_left_out"]) == (14, 1, 0)
    assert mixed["last"]["nll"] < mixed["first"]["nll"] - 0.1
    assert mixed["last"]["logps_chosen"] > without["last"]["logps_chosen"] + 1
    assert "nll" in records[-1]


def test_what_was_chosen_and_found_bad_is_not_imitated(model: Path, tmp_path: Path) -> None:
    from alignment.dataset.reading.folder import read_pairs
    from alignment.methods.dpo.train import found_bad
    from alignment.methods.shared_training.loading import load_tokenizer
    from alignment.methods.shared_training.tokenized import tokenize_pairs

    judgements = [*warm_votes(8), vote(20, ranks=(1, 2), marks=(Mark.BAD, Mark.BAD), prompt="Both bad?")]
    data = spec_for(tmp_path, model, judgements).data
    rows = read_pairs(data)
    pairs, _ = tokenize_pairs(rows, load_tokenizer(str(model)), 256, bad=found_bad(data))
    assert {row.prompt[0].content: pair.imitate for row, pair in zip(rows, pairs, strict=True)} == {
        "Both bad?": 0.0,
        **{f"Question {i}?": 1.0 for i in range(8)},
    }


def test_too_few_pairs_are_refused_with_both_numbers(model: Path, tmp_path: Path) -> None:
    spec = spec_for(tmp_path, model, warm_votes(3))
    with pytest.raises(StageError, match="at least 8 pairs; this snapshot has 3: collect 5 more comparisons"):
        run_stage(spec)
    assert not is_complete(spec.out)


def test_pairs_that_do_not_fit_are_left_out_and_counted(model: Path, tmp_path: Path) -> None:
    long_prompt = vote(50, prompt="why " * 100)
    long_answer = vote(51, left="because " * 40, prompt="Why?")
    spec = spec_for(tmp_path, model, [*warm_votes(9), long_prompt, long_answer], epochs=1)
    metrics = run_stage(spec).metrics
    assert metrics["left_out"] == {"prompt_too_long": 1, "answer_too_long": 1}
    assert metrics["rows"]["train"] == 9


def test_a_dataset_that_does_not_fit_at_all_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="9 of 9 pairs are longer than the model's 16 tokens"):
        run_stage(spec_for(tmp_path, model, warm_votes(9), max_length=16))


def test_a_loss_that_is_no_number_fails_with_a_reason(model: Path, tmp_path: Path) -> None:
    spec = spec_for(tmp_path, model, warm_votes(12), rate=1e38, epochs=8)
    with pytest.raises(StageError, match=r"dpo ended at step \d+ because its loss is (nan|inf)"):
        run_stage(spec)
    assert not is_complete(spec.out)


def test_continuing_an_adapter_starts_where_it_ended_and_stays_one_adapter(model: Path, tmp_path: Path) -> None:
    first = spec_for(tmp_path, model, warm_votes(12), epochs=6, rate=5e-3)
    ended = run_stage(first).metrics
    second = spec_for(tmp_path, model, warm_votes(12), epochs=1, rate=1e-4, adapter=first.out)
    manifest = run_stage(second)
    assert manifest.metrics["started_from"] == "adapter"
    assert manifest.metrics["first"]["loss"] == pytest.approx(0.6931, abs=2e-3)
    assert manifest.metrics["first"]["logps_rejected"] < ended["first"]["logps_rejected"] - 1
    assert set(manifest.files) == {"adapter_config.json", "adapter_model.safetensors"}
    assert (first.out / "adapter_model.safetensors").read_bytes() != (
        second.out / "adapter_model.safetensors"
    ).read_bytes()


def test_another_architecture_trains_too(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "opt", architecture="opt")
    metrics = run_stage(spec_for(tmp_path, model, warm_votes(8), epochs=1)).metrics
    assert metrics["steps"] == 1


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"gamma": 1}, "dpo has no setting gamma; it has"),
        ({"beta": "much"}, "setting beta cannot be 'much'"),
        ({"beta": 0.0}, "beta must be above 0"),
        ({"dtype": "int4"}, "one of auto, bf16, fp32"),
        ({"margin": -1}, "margin must be at least 0, not -1"),
        ({"sft": -0.1}, "sft must be at least 0, not -0.1"),
        ({"loss": "hinge"}, "loss must be one of sigmoid, ipo, robust, length-normalised, not 'hinge'"),
        ({"loss": "robust", "flips": 0.5}, "flips must be at least 0 and below 0.5, not 0.5"),
        ({"flips": 0.1}, "setting flips is for the robust loss alone; add loss=robust or leave it out"),
    ],
)
def test_a_setting_without_sense_is_named(
    model: Path, tmp_path: Path, settings: dict[str, Setting], sentence: str
) -> None:
    with pytest.raises(StageError, match=sentence):
        run_stage(spec_for(tmp_path, model, warm_votes(8), **settings))


def test_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(StageError, match="has no tokenizer that transformers can load"):
        run_stage(spec_for(tmp_path, tmp_path / "empty", warm_votes(8)))
