"""Sampling and scoring in this process, on a tiny random model."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import pytest

from alignment.errors import StageError
from alignment.evaluation.kl import kl_by
from alignment.methods.online.local_sampler import LocalModel
from alignment.stage.sampler import Sample, Sampling
from tests.alignment.builders import user
from tests.alignment.tiny_model import make_tiny_model

pytestmark = pytest.mark.slow
PROMPTS = [user("Hello"), user("What is the capital of France, please?"), user("Hi")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def local(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> LocalModel:
    return LocalModel(str(folder), {"policy-0001": adapter(folder, tmp_path_factory.mktemp("adapter"))}, bf16=False)


def adapter(model: Path, out: Path) -> Path:
    """An adapter with random weights."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(5)
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32), config).save_pretrained(out)
    return out


def test_a_seed_repeats_and_a_row_does_not_depend_on_its_batch(local: LocalModel) -> None:
    sampling = Sampling(temperature=1.0, max_tokens=12, seed=7)
    together = local.sample("base", PROMPTS, sampling)
    assert together == local.sample("base", PROMPTS, sampling)
    assert together[0] == local.sample("base", PROMPTS[:1], sampling)[0]
    assert together != local.sample("base", PROMPTS, Sampling(temperature=1.0, max_tokens=12, seed=8))


def test_several_samples_of_one_prompt_differ(local: LocalModel) -> None:
    (samples,) = local.sample("base", PROMPTS[:1], Sampling(temperature=1.0, max_tokens=12, seed=7, n=4))
    assert len({sample.tokens for sample in samples}) == 4


def test_greedy_is_the_most_likely_token_each_time(local: LocalModel) -> None:
    ((sample,), *_) = local.sample("base", PROMPTS, Sampling(temperature=0.0, max_tokens=1, seed=0))
    others = [Sample("", "length", tokens=(token,)) for token in range(262)]
    scores = [row[0] for row in local.score("base", [PROMPTS[0]] * 262, others)]
    assert scores.index(max(scores)) == sample.tokens[0]
    assert sum(math.exp(score) for score in scores) == pytest.approx(1.0, abs=1e-3)


def test_sampling_follows_the_models_own_probabilities(local: LocalModel) -> None:
    draws = local.sample("base", [PROMPTS[0]], Sampling(temperature=1.0, max_tokens=1, seed=1, n=600))[0]
    counts = Counter(sample.tokens[0] for sample in draws)
    scores = local.score("base", [PROMPTS[0]] * 262, [Sample("", "length", tokens=(token,)) for token in range(262)])
    expected = [600 * math.exp(row[0]) for row in scores]
    distance = sum((counts[token] - expected[token]) ** 2 / expected[token] for token in range(262))
    assert distance < 261 + 4 * math.sqrt(2 * 261)  # chi-square of 261 degrees of freedom, four deviations out


def test_a_version_under_its_adapter_is_another_model(local: LocalModel) -> None:
    sampling = Sampling(temperature=0.0, max_tokens=8, seed=0)
    assert local.sample("base", PROMPTS, sampling) != local.sample("policy-0001", PROMPTS, sampling)


def test_the_kl_of_a_model_to_itself_is_nothing_and_to_another_is_something(local: LocalModel) -> None:
    prompts = PROMPTS * 30  # the estimate is a mean over answers, and a few of them may well lie below zero
    samples = [rows[0] for rows in local.sample("policy-0001", prompts, Sampling(1.0, 30, 3))]
    kl = kl_by(local)
    assert kl("base", "base", prompts, samples) == 0.0
    assert kl("policy-0001", "base", prompts, samples) > 0.05


def test_an_answer_ends_at_its_end_token_or_says_that_it_was_cut(local: LocalModel) -> None:
    samples = [sample for rows in local.sample("base", PROMPTS, Sampling(1.0, 200, 3, n=8)) for sample in rows]
    assert {sample.finish_reason for sample in samples} <= {"stop", "length"}
    for sample in samples:
        assert (sample.tokens[-1] == 2) == (sample.finish_reason == "stop")
        assert sample.tokens.count(2) <= 1


def test_a_version_that_is_not_loaded_is_named(local: LocalModel) -> None:
    with pytest.raises(ConnectionError, match=r"policy-0009 is not loaded; the versions here are base, policy-0001"):
        local.sample("policy-0009", PROMPTS, Sampling(1.0, 4, 3))


def test_a_model_without_a_chat_template_is_refused(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        if path.name != "chat_template.jinja":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(StageError, match="has no chat template"):
        LocalModel(str(tmp_path))


def test_top_p_of_the_model_leaves_the_tail_out(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    settings = json.loads((folder / "generation_config.json").read_text())
    (tmp_path / "generation_config.json").write_text(json.dumps({**settings, "top_p": 0.2, "do_sample": True}))
    narrow = LocalModel(str(tmp_path), bf16=False)
    every = [Sample("", "length", tokens=(token,)) for token in range(262)]
    chances = sorted((math.exp(row[0]) for row in narrow.score("base", [PROMPTS[0]] * 262, every)), reverse=True)
    kept = next(i + 1 for i in range(262) if sum(chances[: i + 1]) >= 0.2)
    draws = narrow.sample("base", [PROMPTS[0]], Sampling(temperature=1.0, max_tokens=1, seed=1, n=400))[0]
    assert kept < 100
    assert 0.8 * kept <= len({sample.tokens for sample in draws}) <= kept
