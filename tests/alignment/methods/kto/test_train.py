"""The KTO stage on a tiny random model: what it learns from, what it refuses, and that weights enter the loss."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from alignment.dataset.judgement import Judgement, Mark
from alignment.errors import StageError
from alignment.methods.registry import run_stage
from alignment.stage.artifact import is_complete, verify
from alignment.stage.spec import Setting, StageSpec
from tests.alignment.builders import like
from tests.alignment.methods.specs import spec_of
from tests.alignment.tiny_model import make_tiny_model

pytestmark = pytest.mark.slow
spec_for = partial(spec_of, "kto")


def marks(likes: int, dislikes: int) -> list[Judgement]:
    """Warm answers that were liked and curt ones that were not, each to a prompt of its own."""
    return [
        *(like(i, f"Gladly, friend {i}!", Mark.GOOD, prompt=f"Question {i}?") for i in range(likes)),
        *(like(500 + i, f"No {i}.", Mark.BAD, prompt=f"Query {i}?") for i in range(dislikes)),
    ]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"))


def test_likes_and_dislikes_alone_move_the_margin_and_leave_an_adapter(model: Path, tmp_path: Path) -> None:
    records: list[Any] = []
    spec = spec_for(tmp_path, model, marks(10, 6), epochs=6, rate=5e-3, batch=8)
    manifest = run_stage(spec, records.append)
    assert verify(spec.out) == manifest
    assert set(manifest.files) == {"adapter_config.json", "adapter_model.safetensors"}
    metrics = manifest.metrics
    assert metrics["rows"] == {"train": 16, "held_out": 0, "likes": 10, "dislikes": 6}
    assert metrics["steps"] == 12
    assert metrics["first"]["loss"] == pytest.approx(0.5, abs=5e-3)
    assert metrics["last"]["margin"] > 0.1
    assert [record["step"] for record in records] == list(range(13))
    assert {"loss", "margin", "accuracy", "logps_chosen", "logps_rejected", "kl", "seconds_left"} <= set(records[-1])


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(model: Path, tmp_path: Path) -> None:
    weights = [
        (run_stage(spec), (spec.out / "adapter_model.safetensors").read_bytes())[1]
        for spec in (spec_for(tmp_path, model, marks(5, 5), seed=seed, epochs=2, batch=4) for seed in (4, 4, 5))
    ]
    assert weights[0] == weights[1] != weights[2]


@pytest.mark.parametrize(
    ("likes", "dislikes", "sentence"),
    [
        (12, 0, "kto needs at least one dislike; this snapshot has 12 likes and 0 dislikes"),
        (0, 9, "kto needs at least one like; this snapshot has 0 likes and 9 dislikes"),
        (3, 1, "kto needs at least 8 marked answers; this snapshot has 3 likes and 1 dislike: collect 4 more"),
    ],
)
def test_marks_that_cannot_train_are_refused_with_counts(
    model: Path, tmp_path: Path, likes: int, dislikes: int, sentence: str
) -> None:
    spec = spec_for(tmp_path, model, marks(likes, dislikes))
    with pytest.raises(StageError, match=sentence):
        run_stage(spec)
    assert not is_complete(spec.out)


def test_held_out_marks_are_measured_and_not_trained_on(model: Path, tmp_path: Path) -> None:
    manifest = run_stage(spec_for(tmp_path, model, marks(60, 60), epochs=1, rate=5e-3))
    assert manifest.metrics["rows"]["held_out"] > 0
    assert manifest.metrics["rows"]["train"] + manifest.metrics["rows"]["held_out"] == 120
    assert manifest.metrics["held_out_accuracy"] > 0.6


def test_marks_that_do_not_fit_are_left_out_and_counted(model: Path, tmp_path: Path) -> None:
    judgements = [*marks(6, 4), like(900, "because " * 40, Mark.GOOD, prompt="Why?")]
    metrics = run_stage(spec_for(tmp_path, model, judgements, epochs=1)).metrics
    assert metrics["left_out"] == {"answer_too_long": 1}


def test_marks_that_leave_one_kind_only_when_the_long_ones_go_are_refused(model: Path, tmp_path: Path) -> None:
    judgements = [*marks(8, 0), like(900, "because " * 40, Mark.BAD, prompt="Why?")]
    with pytest.raises(StageError, match=r"1 of 9 marked answers .* leaves 8 likes and 0 dislikes"):
        run_stage(spec_for(tmp_path, model, judgements, epochs=1))


def test_a_loss_that_is_no_number_fails_with_a_reason(model: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"kto ended at step \d+ because its loss is (nan|inf)"):
        run_stage(spec_for(tmp_path, model, marks(8, 8), rate=1e38, epochs=8, batch=4))


def test_continuing_an_adapter_starts_where_it_ended(model: Path, tmp_path: Path) -> None:
    first = spec_for(tmp_path, model, marks(8, 8), epochs=4, rate=5e-3)
    run_stage(first)
    second = spec_for(tmp_path, model, marks(8, 8), epochs=1, rate=1e-4, adapter=first.out)
    manifest = run_stage(second)
    assert manifest.metrics["started_from"] == "adapter"
    assert manifest.metrics["first"]["loss"] == pytest.approx(0.5, abs=5e-3)
    assert set(manifest.files) == {"adapter_config.json", "adapter_model.safetensors"}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"gamma": 1}, "kto has no setting gamma; it has"),
        ({"beta": "much"}, "kto's setting beta cannot be 'much'"),
        ({"beta": 0.0}, "kto's beta must be above 0"),
        ({"batch": 1}, "kto's batch must be at least 2"),
    ],
)
def test_a_setting_without_sense_is_named(
    model: Path, tmp_path: Path, settings: dict[str, Setting], sentence: str
) -> None:
    with pytest.raises(StageError, match=sentence):
        run_stage(spec_for(tmp_path, model, marks(8, 8), **settings))


def trainer_for(spec: StageSpec, weights: tuple[float, ...] = ()) -> Any:
    """A trainer as the stage builds it, in float32; `weights` overrule those of the rows."""
    from alignment.dataset.reading.folder import read_marks
    from alignment.methods.kto.settings import KtoSettings
    from alignment.methods.kto.train import build_trainer
    from alignment.methods.shared_training.loading import load_tokenizer
    from alignment.methods.shared_training.tokenized_labels import tokenize_marks

    tokenizer = load_tokenizer(str(spec.model))
    rows, _ = tokenize_marks(read_marks(spec.data), tokenizer, 256)
    if weights:
        rows = [replace(row, weight=weight) for row, weight in zip(rows, weights, strict=True)]
    settings = KtoSettings.read({"dtype": "fp32", "batch": 4, "desirable": 1.0, "undesirable": 1.0})
    return build_trainer(spec, settings, tokenizer, rows, lambda record: None)


def shake(trainer: Any) -> None:
    """Move the adapter away from zero, so that policy and reference differ."""
    import torch

    generator = torch.Generator().manual_seed(3)
    for name, parameter in trainer.model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.05, generator=generator)


def batch_of(trainer: Any, rows: list[int]) -> Any:
    return trainer._prepare_inputs(trainer.data_collator([trainer.train_dataset[i] for i in rows]))


def test_with_equal_weights_the_loss_is_trls_own(model: Path, tmp_path: Path) -> None:
    import torch
    from trl import KTOTrainer
    from trl.trainer.utils import add_fused_lm_head

    trainer = trainer_for(spec_for(tmp_path, model, marks(5, 3)))
    shake(trainer)
    batch = batch_of(trainer, [0, 1, 2, 3])
    ours = trainer._compute_loss(trainer.model, dict(batch), False)
    plain = {
        name: value for name, value in batch.items() if name not in ("weight", "target", "ref_logps", "ref_KL_logps")
    }
    add_fused_lm_head(trainer.model.get_base_model(), outputs=("log_probs", "entropy", "mean_logits"))
    trainer.desirable_weight = trainer.undesirable_weight = 1.0
    theirs = KTOTrainer._compute_loss(trainer, trainer.model, plain, False)
    assert abs(theirs.item() - 0.5) > 1e-3
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_rows_weight_enters_its_loss(model: Path, tmp_path: Path) -> None:
    spec = spec_for(tmp_path, model, marks(4, 4))
    plain, weighted = trainer_for(spec), trainer_for(spec, (3.0, 3.0, 3.0, 3.0, 1.0, 1.0, 1.0, 1.0))
    shake(plain)
    shake(weighted)
    rows = list(range(4))
    plain_batch, weighted_batch = batch_of(plain, rows), batch_of(weighted, rows)
    assert sorted(set(weighted_batch["weight"].tolist())) == [0.5, 1.5], "mean 1 over the dataset"
    plain_batch["weight"] = weighted_batch["weight"]
    ours = weighted._compute_loss(weighted.model, weighted_batch, False).item()
    assert ours == pytest.approx(plain._compute_loss(plain.model, plain_batch, False).item(), rel=1e-5)
    plain_batch["weight"] = weighted_batch["weight"] * 0 + 1
    assert abs(ours - plain._compute_loss(plain.model, plain_batch, False).item()) > 1e-4


def test_where_people_are_divided_both_labels_count_with_their_shares(model: Path, tmp_path: Path) -> None:
    trainer = trainer_for(spec_for(tmp_path, model, marks(4, 4)))
    shake(trainer)
    batch = batch_of(trainer, [0, 1, 2, 3])

    def loss(target: float, *, turned: bool = False) -> float:
        batch["target"] = batch["weight"] * 0 + target
        labels = [not label if turned else label for label in batch["label"]]
        found = trainer._compute_loss(trainer.model, {**batch, "label": labels_like(batch, labels)}, False)
        return float(found.detach())

    assert loss(0.75) == pytest.approx(0.75 * loss(1.0) + 0.25 * loss(1.0, turned=True), rel=1e-5)
    assert loss(0.5) == pytest.approx(0.5)
    assert abs(loss(1.0) - 0.5) > 1e-4


def labels_like(batch: Any, labels: list[bool]) -> Any:
    import torch

    return torch.tensor(labels) if isinstance(batch["label"], torch.Tensor) else labels


def test_every_stretch_of_an_epoch_holds_both_kinds_and_epochs_differ() -> None:
    from alignment.methods.kto.trainer import interleaved

    labels = [True] * 30 + [False] * 10
    rng = random.Random(1)
    first, second = interleaved(labels, rng), interleaved(labels, rng)
    assert sorted(first) == sorted(second) == list(range(40))
    assert first != second
    for start in range(0, 40, 8):
        kinds = [labels[row] for row in first[start : start + 8]]
        assert 0 < kinds.count(False) < 5


def test_the_rarer_side_is_raised_until_both_weigh_the_same() -> None:
    from alignment.methods.kto.settings import KtoSettings

    assert KtoSettings().sides_for(30.0, 10.0) == (1.0, 3.0)
    assert KtoSettings(desirable=2.0).sides_for(30.0, 10.0) == (2.0, 3.0)
