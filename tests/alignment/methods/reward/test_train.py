"""The reward stage on a tiny random model: what it learns, what it says it is, and what it refuses."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from alignment.errors import StageError
from alignment.methods.registry import run_stage
from alignment.stage.artifact import is_complete, verify
from alignment.stage.spec import Setting, StageSpec
from tests.alignment.builders import warm_votes
from tests.alignment.methods.specs import spec_of
from tests.alignment.tiny_model import make_tiny_encoder, make_tiny_model

pytestmark = pytest.mark.slow
spec_for = partial(spec_of, "reward")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"))


def write_groups(folder: Path, count: int) -> None:
    folder.mkdir()
    (folder / "pairs.jsonl").write_text("")
    with (folder / "groups.jsonl").open("w") as file:
        for i in range(count):
            groups = [[f"Gladly, friend {i}!"], [f"Well {i}.", f"So {i}."], [f"No {i}."]]
            file.write(json.dumps({"prompt": f"Question {i}?", "groups": groups, "weight": 2.0}) + "\n")


def test_it_learns_the_order_and_says_that_it_is_a_reward_model(model: Path, tmp_path: Path) -> None:
    from alignment.methods.shared_training.reward_model import is_reward_model, read_facts

    records: list[Any] = []
    spec = spec_for(tmp_path, model, warm_votes(110), epochs=3, rate=5e-3)
    manifest = run_stage(spec, records.append)
    assert verify(spec.out) == manifest
    assert set(manifest.files) == {
        "reward.json",
        "member-0/adapter_config.json",
        "member-0/adapter_model.safetensors",
    }
    assert is_reward_model(spec.out)
    assert read_facts(spec.out).form == "adapter"
    assert "score" in json.loads((spec.out / "member-0" / "adapter_config.json").read_text())["modules_to_save"]
    assert manifest.metrics["kind"] == "reward"
    assert manifest.metrics["held_out_accuracy"] > 0.8
    assert manifest.metrics["last"]["margin"] > manifest.metrics["first"]["margin"]
    assert {"loss", "margin", "accuracy", "reward", "seconds_left"} <= set(records[-1])
    assert records[-1]["step"] == records[-1]["steps"] == manifest.metrics["steps"]


def test_ranked_groups_alone_are_learned_as_wholes(model: Path, tmp_path: Path) -> None:
    write_groups(tmp_path / "data", 12)
    metrics = run_stage(StageSpec("reward", tmp_path / "data", str(model), tmp_path / "out", {"rate": 5e-3}, 1)).metrics
    assert metrics["rows"] == {"train": 12, "held_out": 0, "pairs": 0, "rankings": 12}
    assert metrics["last"]["margin"] > 0.3


def test_a_vote_that_stands_in_a_group_is_not_counted_again_as_a_pair(model: Path, tmp_path: Path) -> None:
    spec = spec_for(tmp_path, model, warm_votes(9), epochs=1)
    group = {"prompt": "Question 0?", "groups": [["Gladly!"], ["No."]], "judgements": ["j00000"]}
    (spec.data / "groups.jsonl").write_text(json.dumps(group) + "\n")
    assert run_stage(spec).metrics["rows"]["train"] == 9
    as_pairs = spec_for(tmp_path, model, (), epochs=1, listwise="no")
    assert run_stage(as_pairs).metrics["rows"]["rankings"] == 0


def test_an_ensemble_has_members_that_differ_and_one_progress(model: Path, tmp_path: Path) -> None:
    records: list[Any] = []
    spec = spec_for(tmp_path, model, warm_votes(16), epochs=1, members=2)
    run_stage(spec, records.append)
    first, second = (spec.out / f"member-{i}" / "adapter_model.safetensors" for i in (0, 1))
    assert first.read_bytes() != second.read_bytes()
    assert [record["step"] for record in records] == [0, 1, 2]
    assert {record["steps"] for record in records} == {2}


def test_all_weights_can_be_trained(model: Path, tmp_path: Path) -> None:
    spec = spec_for(tmp_path, model, warm_votes(9), epochs=1, full="yes")
    manifest = run_stage(spec)
    assert manifest.metrics["form"] == "full"
    assert "member-0/model.safetensors" in manifest.files


@pytest.mark.parametrize("full", [False, True])
def test_an_encoder_may_be_the_backbone_but_not_the_judge_of_a_policy_on_another_base(
    model: Path, tmp_path: Path, full: bool
) -> None:
    from safetensors.torch import load_file

    encoder = make_tiny_encoder(tmp_path / "encoder")
    spec = spec_for(tmp_path, encoder, warm_votes(12), full=full, dtype="fp32", epochs=4, batch=12)
    records: list[Any] = []
    manifest = run_stage(spec, records.append)
    assert manifest.metrics["form"] == ("full" if full else "adapter")
    assert records[-1]["loss"] < records[1]["loss"]
    weights = load_file(spec.out / "member-0" / ("model.safetensors" if full else "adapter_model.safetensors"))
    assert any("classifier" in name for name in weights), "the head is kept with the rest"
    ppo = StageSpec("ppo", spec.data, str(model), tmp_path / "ppo", {"dtype": "fp32"}, 1, reward=spec.out)
    with pytest.raises(StageError, match="train one from the model that the policy starts from"):
        run_stage(ppo)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(model: Path, tmp_path: Path) -> None:
    weights = [
        (run_stage(spec), (spec.out / "member-0" / "adapter_model.safetensors").read_bytes())[1]
        for spec in (spec_for(tmp_path, model, warm_votes(10), seed=seed, epochs=1) for seed in (4, 4, 5))
    ]
    assert weights[0] == weights[1] != weights[2]


def test_too_little_is_refused_with_both_numbers(model: Path, tmp_path: Path) -> None:
    spec = spec_for(tmp_path, model, warm_votes(3))
    with pytest.raises(StageError, match="reward needs at least 8 pairs or rankings; this snapshot has 3: collect 5"):
        run_stage(spec)
    assert not is_complete(spec.out)


def test_a_dataset_that_does_not_fit_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="9 of 9 rows are longer than the model's 16 tokens"):
        run_stage(spec_for(tmp_path, model, warm_votes(9), max_length=16))


def test_a_line_that_is_no_group_is_left_out_and_named(model: Path, tmp_path: Path) -> None:
    spec = spec_for(tmp_path, model, warm_votes(9), epochs=1)
    group = json.dumps({"prompt": "Well?", "groups": [["Gladly!"], ["No."]]})
    (spec.data / "groups.jsonl").write_text(f'{group}\n{{"prompt": "x"}}\n')
    metrics = run_stage(spec).metrics
    assert metrics["rows"]["train"] == 10
    assert [found["judgements"] for found in metrics["left_out_rows"].values()] == [["line 2 of groups.jsonl"]]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"members": 0}, "reward's members must be between 1 and 8"),
        ({"full": "maybe"}, "reward's setting full cannot be"),
    ],
)
def test_a_setting_without_sense_is_named(
    model: Path, tmp_path: Path, settings: dict[str, Setting], sentence: str
) -> None:
    with pytest.raises(StageError, match=sentence):
        run_stage(spec_for(tmp_path, model, warm_votes(8), **settings))


def test_a_rows_weight_and_margin_enter_the_loss(model: Path, tmp_path: Path) -> None:
    import math
    from dataclasses import replace

    from alignment.dataset.reading.folder import read_pairs
    from alignment.methods.reward.settings import RewardSettings
    from alignment.methods.reward.tokenized_rankings import tokenize_rankings
    from alignment.methods.reward.train import build_trainer
    from alignment.methods.shared_training.loading import load_tokenizer

    spec = spec_for(tmp_path, model, warm_votes(8))
    tokenizer = load_tokenizer(str(model))
    rows, _ = tokenize_rankings(read_pairs(spec.data), [], tokenizer, 256)
    rows = [replace(row, weight=weight, margin=0.5) for row, weight in zip(rows, (3.0, 1.0) * 4, strict=True)]
    settings = RewardSettings.read({"dtype": "fp32", "centre": 0.0, "margin": 2.0})
    trainer = build_trainer(spec, settings, tokenizer, rows, lambda record: None)
    batch = trainer._prepare_inputs(trainer.data_collator([trainer.train_dataset[i] for i in (0, 1)]))
    scores = trainer.scores(trainer.model, batch).tolist()
    losses = [-math.log(1 / (1 + math.exp(-(scores[2 * i] - scores[2 * i + 1] - 1.0)))) for i in (0, 1)]
    expected = (1.5 * losses[0] + 0.5 * losses[1]) / 2
    assert trainer.compute_loss(trainer.model, batch).item() == pytest.approx(expected, rel=1e-4)
