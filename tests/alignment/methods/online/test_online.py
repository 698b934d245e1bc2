"""RLOO, GRPO and online DPO on a tiny random model with a reward model of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alignment.errors import StageError
from alignment.methods.registry import run_stage
from alignment.stage.spec import Setting, StageSpec
from tests.alignment.builders import vote
from tests.alignment.compiled import write_compiled
from tests.alignment.methods.exclaiming import exclaiming_model
from tests.alignment.tiny_model import make_tiny_model

pytestmark = pytest.mark.slow

Made = tuple[Path, Path, Path]
SMALL: dict[str, dict[str, Setting]] = {
    "rloo": {"steps": 2, "rollouts": 8, "answers": 4, "minibatch": 8, "max_tokens": 8, "dtype": "fp32"},
    "grpo": {"steps": 2, "rollouts": 8, "answers": 4, "minibatch": 8, "max_tokens": 8, "dtype": "fp32"},
    "online-dpo": {"steps": 2, "pairs": 8, "minibatch": 4, "max_tokens": 8, "dtype": "fp32", "rate": 1e-3},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """(model, dataset, reward model)."""
    folder = tmp_path_factory.mktemp("online")
    model = make_tiny_model(folder / "model")
    votes = [vote(i, f"Gladly, friend {i}!", f"No {i}.", (1, 2), prompt=f"Question {i}?") for i in range(12)]
    write_compiled(votes, folder / "data")
    run_stage(StageSpec("reward", folder / "data", str(model), folder / "reward", {"epochs": 2, "dtype": "fp32"}, 1))
    return model, folder / "data", folder / "reward"


def spec_for(made: Made, stage: str, out: Path, *, seed: int = 1, **settings: Setting) -> StageSpec:
    model, data, reward = made
    return StageSpec(stage, data, str(model), out, {**SMALL[stage], **settings}, seed, reward=reward)


@pytest.mark.parametrize("stage", SMALL)
def test_it_leaves_an_adapter_reports_alike_and_repeats(made: Made, tmp_path: Path, stage: str) -> None:
    records: list[Any] = []
    weights = []
    for run, seed in enumerate((4, 4, 5)):
        spec = spec_for(made, stage, tmp_path / f"out-{run}", seed=seed)
        manifest = run_stage(spec, records.append if run == 0 else None)
        assert set(manifest.files) == {"adapter_config.json", "adapter_model.safetensors"}
        weights.append((spec.out / "adapter_model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]
    assert records[-1]["step"] == records[-1]["steps"] == manifest.metrics["steps"]
    assert {"loss", "reward", "kl", "entropy", "length", "seconds_left"} <= set(records[-1])


@pytest.mark.parametrize("stage", SMALL)
def test_a_reward_model_and_prompts_are_needed(made: Made, tmp_path: Path, stage: str) -> None:
    model, data, _ = made
    with pytest.raises(StageError, match=f"{stage} needs a reward model: train one first"):
        run_stage(StageSpec(stage, data, str(model), tmp_path / "a", SMALL[stage]))
    with pytest.raises(StageError, match=rf"{stage} needs at least 50 different prompts to answer; .* has 12"):
        run_stage(spec_for(made, stage, tmp_path / "b", min_prompts=50))


@pytest.mark.parametrize(
    ("stage", "settings", "sentence"),
    [
        ("rloo", {"answers": 1}, "rloo's answers must be at least 2"),
        ("rloo", {"rollouts": 10}, "rloo's rollouts must be a multiple"),
        ("grpo", {"beta": 0.0}, "grpo's beta must be above 0, not 0"),
        ("grpo", {"scale": "all"}, "grpo's scale must be one of group, batch, none"),
        ("online-dpo", {"beta": 0.0}, "online-dpo's beta must be above 0, not 0"),
        ("online-dpo", {"gamma": 1}, "online-dpo has no setting gamma"),
    ],
)
def test_a_setting_without_sense_is_named(
    made: Made, tmp_path: Path, stage: str, settings: dict[str, Setting], sentence: str
) -> None:
    with pytest.raises(StageError, match=sentence):
        run_stage(spec_for(made, stage, tmp_path / "out", **settings))


def test_answers_of_one_prompt_meet_and_near_rewards_are_a_tie() -> None:
    from alignment.methods.online_dpo.train import Contest, decided

    assert decided([1.0, 0.0, 0.5, 0.55, -1.0, 2.0], 0.1) == [Contest(0, 1), Contest(5, 4)]


@pytest.mark.long  # half a minute on the embedded model; ppo's like it stays in every run
def test_online_dpo_learns_the_judges_order() -> None:
    from alignment.methods.online.rollouts import BatchSampler, collect
    from alignment.methods.online_dpo.settings import OnlineDpoSettings
    from alignment.methods.online_dpo.train import OnlineDpoRun
    from alignment.stage.sampler import Sampling

    model, tokenizer, prompts = exclaiming_model(48)
    settings = OnlineDpoSettings.read({"steps": 8, "rate": 2e-3, "minibatch": 8, "epochs": 2})
    run = OnlineDpoRun(model, settings, seed=1)
    sampler = BatchSampler(model, tokenizer)
    rewards = [
        run.step(collect(sampler, "policy", tokenizer, prompts, Sampling(1.0, 48, seed=step, n=2)), step)["reward"]
        for step in range(settings.steps)
    ]
    assert (rewards[-1] + rewards[-2]) / 2 > rewards[0] + 0.3


def test_the_reward_function_scores_as_the_base_with_adapters_does(made: Made) -> None:
    from alignment.dataset.judgement import Message
    from alignment.methods.online.model import OneBase
    from alignment.methods.online.reward_function import RewardFunction
    from alignment.methods.online.rollouts import BatchSampler, collect
    from alignment.methods.online.scoring import score
    from alignment.methods.shared_training.loading import load_tokenizer
    from alignment.stage.sampler import Sampling

    source, _, reward = made
    tokenizer = load_tokenizer(str(source))
    model = OneBase(str(source), reward=reward, pad=tokenizer.pad_token_id)
    prompts = [(Message("user", f"Question {i}{'?' * i}"),) for i in range(5)]
    rollouts = collect(BatchSampler(model, tokenizer), "base", tokenizer, prompts, Sampling(1.0, 9, seed=1))
    found = RewardFunction(model, tokenizer, clip=0.0, missing_end=0.5)(
        [[{"role": "user", "content": prompt[0].content}] for prompt in prompts],
        ["" for _ in prompts],
        [rollout.answer for rollout in rollouts],
    )
    scores = score(model, rollouts).scores
    expected = (scores - scores.mean()) / scores.std(correction=0)
    for value, wanted, rollout in zip(found, expected.tolist(), rollouts, strict=True):
        assert value == pytest.approx(wanted - (0.0 if rollout.finished else 0.5), abs=1e-4)
