"""What enters the DPO loss: each row's weight, target and margin, checked by hand and against TRL's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.dataset.judgement import Strength
from alignment.methods.registry import run_stage
from alignment.stage.spec import StageSpec
from tests.alignment.builders import vote, warm_votes
from tests.alignment.methods.specs import spec_of
from tests.alignment.tiny_model import make_tiny_model

pytestmark = pytest.mark.slow
spec_for = partial(spec_of, "dpo")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"))


def trainer_for(spec: StageSpec, answers: Sequence[Any] = (), **columns: tuple[float, ...]) -> Any:
    """A trainer as the stage builds it, in float32; `columns` overrule the rows' weight, margin or target."""
    from alignment.dataset.reading.folder import read_pairs
    from alignment.methods.dpo.settings import DpoSettings
    from alignment.methods.dpo.train import build_trainer
    from alignment.methods.shared_training.loading import load_tokenizer
    from alignment.methods.shared_training.tokenized import tokenize_pairs

    tokenizer = load_tokenizer(str(spec.model))
    rows = read_pairs(spec.data)
    for name, values in columns.items():
        rows = [replace(row, **{name: value}) for row, value in zip(rows, values, strict=True)]
    pairs, _ = tokenize_pairs(rows, tokenizer, 256)
    settings = DpoSettings.read({"dtype": "fp32", **spec.settings})
    return build_trainer(spec, settings, tokenizer, pairs, lambda record: None, answers)


def batch_of(trainer: Any, rows: list[int]) -> Any:
    return trainer._prepare_inputs(trainer.data_collator([trainer.train_dataset[i] for i in rows]))


def shake(trainer: Any) -> None:
    """Move the adapter away from zero, so that policy and reference differ."""
    import torch

    generator = torch.Generator().manual_seed(3)
    for name, parameter in trainer.model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.05, generator=generator)


def bare_trainer(spec: StageSpec, ours: Any, theirs: dict[str, Any]) -> Any:
    """TRL's own trainer on the same rows, with the same settings and seed, and so with the same fresh adapter."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    from alignment.dataset.reading.folder import read_pairs
    from alignment.dataset.rows import to_record
    from alignment.methods.shared_training.loading import load_model, load_tokenizer

    rows = [to_record(row) for row in read_pairs(spec.data)]
    args = ours.args
    return DPOTrainer(
        model=load_model(str(spec.model), bf16=False),
        args=DPOConfig(
            output_dir=str(spec.out),
            beta=ours.settings.beta,
            learning_rate=args.learning_rate,
            max_steps=args.max_steps,
            per_device_train_batch_size=args.per_device_train_batch_size,
            gradient_checkpointing=False,
            precompute_ref_log_probs=True,
            use_cpu=args.use_cpu,
            bf16=False,
            seed=args.seed,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            **theirs,
        ),
        train_dataset=Dataset.from_list(
            [{name: row[name] for name in ("prompt", "chosen", "rejected")} for row in rows]
        ),
        processing_class=load_tokenizer(str(spec.model)),
        peft_config=ours.model.peft_config["default"],
    )


def losses_of(trainer: Any) -> list[float]:
    """The losses of a whole run, one a step."""
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def loss_of(trainer: Any, row: int) -> float:
    return float(trainer._compute_loss(trainer.model, batch_of(trainer, [row]), False).item())


def gradient(trainer: Any, row: int) -> Any:
    import torch

    trainer.model.zero_grad()
    trainer._compute_loss(trainer.model, batch_of(trainer, [row]), False).backward()
    return torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])


def gap_of(trainer: Any, row: int) -> float:
    """β times the difference of the answers' log-ratios."""
    batch = batch_of(trainer, [row])
    chosen, rejected = trainer.answer_logps(batch).tolist()
    ratios = chosen - batch["ref_chosen_logps"].item(), rejected - batch["ref_rejected_logps"].item()
    return float(trainer.beta * (ratios[0] - ratios[1]))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_with_equal_weights_the_loss_is_trls_own(model: Path, tmp_path: Path) -> None:
    import torch
    from trl import DPOTrainer

    trainer = trainer_for(spec_for(tmp_path, model, warm_votes(8)))
    shake(trainer)
    batch = batch_of(trainer, [0, 1, 2, 3])
    ours = trainer._compute_loss(trainer.model, dict(batch), False)
    plain = {name: batch[name] for name in ("input_ids", "attention_mask", "completion_mask")}
    from trl.trainer.utils import add_fused_lm_head

    add_fused_lm_head(
        trainer.model.get_base_model(), outputs=("log_probs", "entropy", "mean_logits", "is_top1")
    )  # TRL's own loss logs more than ours
    theirs = DPOTrainer._compute_loss(trainer, trainer.model, plain, False)
    assert abs(theirs.item() - 0.6931) > 1e-3
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "theirs"),
    [
        ({}, {"loss_type": "sigmoid"}),
        ({"loss": "ipo"}, {"loss_type": "ipo"}),
        ({"loss": "robust"}, {"loss_type": "robust", "label_smoothing": 0.1}),
        ({"loss": "length-normalised"}, {"loss_type": "sigmoid_norm"}),
        ({"sft": 0.5}, {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.5]}),
    ],
)
def test_fifty_steps_have_the_losses_of_a_bare_trl_script(
    model: Path, tmp_path: Path, settings: dict[str, Any], theirs: dict[str, Any]
) -> None:
    spec = spec_for(tmp_path, model, warm_votes(16), epochs=25, **settings)
    ours = trainer_for(spec)
    bare = bare_trainer(spec, ours, theirs)
    mine, other = (losses_of(trainer) for trainer in (ours, bare))
    assert len(mine) == len(other) == 50
    assert mine[-1] < mine[0] - 0.1  # it learned, so that there was something to compare
    assert max(abs(a - b) for a, b in zip(mine, other, strict=True)) < 1e-4


def test_a_rows_weight_enters_its_loss_and_its_gradient(model: Path, tmp_path: Path) -> None:
    import torch

    spec = spec_for(tmp_path, model, warm_votes(8))
    alone = trainer_for(spec)
    shake(alone)
    single = [alone._compute_loss(alone.model, batch_of(alone, [i]), False).item() for i in range(8)]
    weights = (2.0, 0.5, 1.0, 1.0, 0.25, 1.0, 1.0, 1.25)
    assert sum(weights) == 8
    weighted = trainer_for(spec, weight=weights)
    shake(weighted)
    loss = weighted._compute_loss(weighted.model, batch_of(weighted, list(range(8))), False)
    expected = sum(weight * value for weight, value in zip(weights, single, strict=True)) / 8
    assert loss.item() == pytest.approx(expected, rel=1e-4)

    torch.testing.assert_close(gradient(weighted, 0), 2 * gradient(alone, 0), rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(gradient(weighted, 4), 0.25 * gradient(alone, 4), rtol=1e-4, atol=1e-7)


def test_a_divided_row_pulls_towards_its_share_and_not_only_less(model: Path, tmp_path: Path) -> None:
    import torch

    spec = spec_for(tmp_path, model, warm_votes(8))
    agreed = trainer_for(spec)
    divided = trainer_for(spec, target=(0.7,) * 8)
    for trainer in (agreed, divided):
        shake(trainer)
    for row in (0, 1):
        gap = gap_of(divided, row)
        assert abs(gap) > 1e-3
        assert loss_of(agreed, row) == pytest.approx(-math.log(sigmoid(gap)), rel=1e-5)
        expected = -0.7 * math.log(sigmoid(gap)) - 0.3 * math.log(sigmoid(-gap))
        assert loss_of(divided, row) == pytest.approx(expected, rel=1e-5)
        slope = (sigmoid(gap) - 0.7) / (sigmoid(gap) - 1)  # of the loss in the gap, against that of an agreed row
        torch.testing.assert_close(gradient(divided, row), slope * gradient(agreed, row), rtol=1e-3, atol=1e-6)


def test_a_margin_enters_only_when_set_and_then_asks_for_a_lead(model: Path, tmp_path: Path) -> None:
    import torch

    plain = spec_for(tmp_path, model, warm_votes(8))
    scaled = spec_for(tmp_path, model, warm_votes(8), margin=3.0)
    margins = (1.0, 1 / 3, *(1.0,) * 6)
    off, on = trainer_for(plain, margin=margins), trainer_for(scaled, margin=margins)
    for trainer in (off, on):
        shake(trainer)
    for row, margin in ((0, 3.0), (1, 1.0)):
        gap = gap_of(on, row)
        assert loss_of(off, row) == pytest.approx(-math.log(sigmoid(gap)), rel=1e-5)
        assert loss_of(on, row) == pytest.approx(-math.log(sigmoid(gap - margin)), rel=1e-5)
        slope = sigmoid(margin - gap) / sigmoid(-gap)
        torch.testing.assert_close(gradient(on, row), slope * gradient(off, row), rtol=1e-3, atol=1e-6)


def test_the_sft_term_is_the_weighted_mean_per_token_of_chosen_answers_and_single_ones(
    model: Path, tmp_path: Path
) -> None:
    import torch

    from alignment.methods.shared_training.tokenized import TokenizedAnswer

    plain = trainer_for(spec_for(tmp_path, model, warm_votes(8)), target=(0.75,) * 8)
    prompt, chosen = plain.train_dataset["prompt_ids"][0], plain.train_dataset["chosen_ids"][0]
    answers = [TokenizedAnswer(prompt, chosen[:5], 3.0), TokenizedAnswer(prompt, chosen[:9], 1.0)]
    mixed = trainer_for(spec_for(tmp_path, model, warm_votes(8), sft=0.5), answers, target=(0.75,) * 8)
    for trainer in (plain, mixed):
        shake(trainer)
    assert [list(numbers) for numbers in mixed.train_dataset["answers"]] == [[0], [], [], [], [1], [], [], []]

    def nll(row: int, single: float, of: int) -> float:
        """The term of one row with a single answer of weight `single` and of so many tokens (0: none)."""
        batch = batch_of(mixed, [row])
        length = len(mixed.train_dataset["chosen_ids"][row])
        summed = 0.75 * mixed.answer_logps(batch)[0].item()
        if of:
            summed += single * mixed.answer_logps(batch, "sft_")[0].item()
        return -summed / (length + of)

    for row, single, of in ((0, 1.5, 5), (4, 0.5, 9), (1, 0.0, 0)):
        assert loss_of(mixed, row) - loss_of(plain, row) == pytest.approx(0.5 * nll(row, single, of), rel=1e-4)
    assert not torch.allclose(gradient(mixed, 0), gradient(plain, 0), rtol=1e-2)
    alone = mixed.answer_logps(batch_of(mixed, [0]), "sft_")  # padding or a neighbour changes nothing
    beside = mixed.answer_logps(batch_of(mixed, [0, 4]), "sft_")
    torch.testing.assert_close(alone, beside[:1])


@given(st.integers(0, 50), st.integers(1, 20))
def test_every_answer_travels_with_one_pair_and_no_pair_carries_two_more_than_another(answers: int, pairs: int) -> None:
    from alignment.methods.dpo.trainer import shared_out

    places = shared_out(answers, pairs)
    assert sorted(number for place in places for number in place) == list(range(answers))
    assert len(places) == pairs
    assert max(map(len, places)) - min(map(len, places)) <= 1


def test_rows_that_everyone_agrees_on_train_to_the_same_bit_as_by_the_plain_formula(
    model: Path, tmp_path: Path
) -> None:
    import torch
    from torch.nn.functional import logsigmoid

    trainer = trainer_for(spec_for(tmp_path, model, warm_votes(8)), weight=(2.0, 0.5, 1, 1, 0.25, 1, 1, 1.25))
    shake(trainer)
    batch = batch_of(trainer, list(range(8)))

    def gradients(loss: Any) -> list[Any]:
        trainer.model.zero_grad()
        loss.backward()
        return [p.grad.clone() for p in trainer.model.parameters() if p.grad is not None]

    chosen, rejected = trainer.answer_logps(batch).chunk(2)
    gap = trainer.beta * (chosen - batch["ref_chosen_logps"]) - trainer.beta * (rejected - batch["ref_rejected_logps"])
    plain = (batch["weight"] * -logsigmoid(gap)).mean()
    ours = trainer._compute_loss(trainer.model, batch, False)
    assert ours.item() == plain.item()
    assert all(torch.equal(a, b) for a, b in zip(gradients(ours), gradients(plain), strict=True))


def test_what_several_people_said_reaches_the_trainer(model: Path, tmp_path: Path) -> None:
    shared = [
        replace(vote(number, ranks=ranks, person=f"p{number}"), task="t")
        for number, ranks in ((100, (1, 2)), (101, (1, 2)), (102, (2, 1)))
    ]
    slight = vote(103, prompt="Why?", strength=Strength.SLIGHTLY)
    rows = trainer_for(spec_for(tmp_path, model, [*warm_votes(8), *shared, slight])).train_dataset
    assert sorted(rows["target"]) == pytest.approx([2 / 3, *[1.0] * 9])
    assert min(rows["margin"]) == pytest.approx(1 / 3)


def test_weights_are_scaled_to_mean_one(model: Path, tmp_path: Path) -> None:
    votes = [vote(i, prompt=f"Question {i}?", strength=Strength.SLIGHTLY) for i in range(8)]
    trainer = trainer_for(spec_for(tmp_path, model, votes))
    assert list(trainer.train_dataset["weight"]) == [1.0] * 8


def test_no_second_model_and_no_second_adapter_is_in_memory(model: Path, tmp_path: Path) -> None:
    first = spec_for(tmp_path, model, warm_votes(10), epochs=1)
    run_stage(first)
    for adapter in (None, first.out):
        trainer = trainer_for(spec_for(tmp_path, model, warm_votes(10), adapter=adapter))
        assert trainer.ref_model is None
        assert list(trainer.model.peft_config) == ["default"]
