"""The PPO stage on a tiny random model with a reward model of its own: what moves, what stays, what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from alignment.dataset.judgement import Message
from alignment.errors import StageError
from alignment.methods.registry import run_stage
from alignment.stage.artifact import is_complete
from alignment.stage.sampler import Sample, Sampling
from alignment.stage.spec import Setting, StageSpec
from tests.alignment.methods.exclaiming import exclaiming_model
from tests.alignment.methods.ppo.small import SMALL, spec_for

pytestmark = pytest.mark.slow


def model_for(made: tuple[Path, Path, Path], adapter: Path | None = None) -> tuple[Any, Any]:
    from alignment.methods.online.model import OneBase
    from alignment.methods.shared_training.loading import load_tokenizer

    model, _, reward = made
    tokenizer = load_tokenizer(str(model))
    return OneBase(str(model), reward=reward, adapter=adapter, pad=tokenizer.pad_token_id), tokenizer


def rollouts_of(model: Any, tokenizer: Any, version: str = "policy", n: int = 6) -> list[Any]:
    from alignment.methods.online.rollouts import BatchSampler, collect

    prompts = [(Message("user", f"Question {i}{'?' * (i + 1)}"),) for i in range(n)]
    return collect(BatchSampler(model, tokenizer), version, tokenizer, prompts, Sampling(1.0, 10, seed=3))


def shake(model: Any) -> None:
    import torch

    generator = torch.Generator().manual_seed(3)
    for name, parameter in model.model.named_parameters():
        if "lora_B.default" in name:
            parameter.data.normal_(0, 0.3, generator=generator)


def test_it_leaves_an_adapter_vllm_takes_and_reports_every_step(made: tuple[Path, Path, Path], tmp_path: Path) -> None:
    records: list[Any] = []
    manifest = run_stage(spec_for(made, tmp_path / "out"), records.append)
    assert set(manifest.files) == {"adapter_config.json", "adapter_model.safetensors"}
    assert [record["step"] for record in records] == [0, 1, 2]
    names = {"loss", "value_loss", "reward", "kl", "beta", "entropy", "clipped", "length", "seconds_left"}
    assert names <= set(records[-1])
    assert records[1]["kl"] == pytest.approx(0.0, abs=1e-4), "the first rollouts are the reference's own"
    assert records[1]["sampler_gap"] < 1e-4
    assert records[2]["kl"] != 0.0
    assert manifest.metrics["rollouts"] == 32


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(
    made: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    weights = [
        (run_stage(spec), (spec.out / "adapter_model.safetensors").read_bytes())[1]
        for spec in (spec_for(made, tmp_path / f"out-{i}", seed=seed) for i, seed in enumerate((4, 4, 5)))
    ]
    assert weights[0] == weights[1] != weights[2]


def test_the_reward_rises_and_the_policy_leaves_the_reference() -> None:
    from alignment.methods.online.rollouts import BatchSampler, collect
    from alignment.methods.ppo.settings import PpoSettings
    from alignment.methods.ppo.train import PpoRun

    model, tokenizer, prompts = exclaiming_model(64)
    settings = PpoSettings.read({"steps": 5, "minibatch": 32, "rate": 1e-3, "beta": 0.01})
    run = PpoRun(model, settings, seed=1)
    sampler = BatchSampler(model, tokenizer)
    records = [
        run.step(collect(sampler, "policy", tokenizer, prompts, Sampling(1.0, 48, seed=step)), step)
        for step in range(settings.steps)
    ]
    assert records[-1]["reward"] > records[0]["reward"] + 0.5
    assert records[-1]["kl"] > 0.2


def test_the_reward_here_is_what_the_trained_model_says(made: tuple[Path, Path, Path]) -> None:
    """One base with adapters and a head gives the scores of the reward stage's own model."""
    import torch
    from peft import PeftModel

    from alignment.methods.online.scoring import score
    from alignment.methods.shared_training.reward_model import base_for_scores, member, padded

    model, tokenizer = model_for(made)
    shake(model)
    rollouts = rollouts_of(model, tokenizer)
    ours = score(model, rollouts).scores
    source, _, reward = made
    alone = PeftModel.from_pretrained(base_for_scores(str(source), bf16=False), str(member(reward, 0))).eval()
    alone.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    alone.get_base_model().config.pad_token_id = tokenizer.pad_token_id
    ids, mask = padded([[*r.prompt, *r.answer] for r in rollouts], tokenizer.pad_token_id, "cpu")
    with torch.no_grad():
        theirs = alone(input_ids=ids, attention_mask=mask).logits[:, 0].float()
    assert theirs.std() > 0
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_reward_model_with_weights_of_its_own_scores_beside_the_base(
    made: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    import torch

    from alignment.methods.online.scoring import score
    from alignment.methods.shared_training.reward_model import base_for_scores, member, padded

    source, data, _ = made
    settings: dict[str, Setting] = {"epochs": 2, "dtype": "fp32", "full": True, "members": 2}
    reward = StageSpec("reward", data, str(source), tmp_path / "reward", settings, 1)
    run_stage(reward)
    model, tokenizer = model_for((source, data, reward.out))
    shake(model)
    rollouts = rollouts_of(model, tokenizer)
    ours = score(model, rollouts).scores
    ids, mask = padded([[*r.prompt, *r.answer] for r in rollouts], tokenizer.pad_token_id, "cpu")
    theirs = torch.zeros(len(rollouts))
    for number in range(2):
        alone = base_for_scores(str(member(reward.out, number)), bf16=False).eval()
        alone.config.get_text_config().pad_token_id = tokenizer.pad_token_id
        with torch.no_grad():
            theirs += alone(input_ids=ids, attention_mask=mask).logits[:, 0].float() / 2
    assert theirs.std() > 0
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    manifest = run_stage(spec_for((source, data, reward.out), tmp_path / "out"))
    assert set(manifest.files) == {"adapter_config.json", "adapter_model.safetensors"}


def test_log_probabilities_are_those_of_the_whole_model_one_answer_at_a_time(made: tuple[Path, Path, Path]) -> None:
    import torch

    from alignment.methods.online.scoring import score

    model, tokenizer = model_for(made)
    shake(model)
    rollouts = rollouts_of(model, tokenizer)
    scored = score(model, rollouts)
    for row, rollout in enumerate(rollouts):
        ids = torch.tensor([[*rollout.prompt, *rollout.answer]])
        start = len(rollout.prompt)
        with torch.no_grad():
            mine = torch.log_softmax(model.model(input_ids=ids).logits[0].float(), dim=-1)
            with model.model.disable_adapter():
                base = torch.log_softmax(model.model(input_ids=ids).logits[0].float(), dim=-1)
        for t, token in enumerate(rollout.answer):
            assert scored.old[row, t].item() == pytest.approx(mine[start + t - 1, token].item(), abs=1e-4)
            assert scored.reference[row, t].item() == pytest.approx(base[start + t - 1, token].item(), abs=1e-4)
    assert scored.gap is not None
    assert scored.gap < 1e-4
    assert (scored.old - scored.reference).abs().max() > 1e-3


def test_answers_are_drawn_with_the_adapter_added_into_the_weights_which_are_then_as_before(
    made: tuple[Path, Path, Path],
) -> None:
    import torch

    from alignment.methods.online.scoring import score

    model, tokenizer = model_for(made)
    shake(model)
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    rollouts = rollouts_of(model, tokenizer)
    assert all(value.equal(before[name]) for name, value in model.model.state_dict().items())
    gap = score(model, rollouts).gap
    assert gap is not None
    assert 0 < gap < 1e-4  # other products, the same policy
    ids = torch.tensor([list(rollouts[0].prompt)])
    with model.folded():
        folded = model.backbone(ids, torch.ones_like(ids))
    with model.frozen("default"):
        assert model.backbone(ids, torch.ones_like(ids)).allclose(folded, atol=1e-4)
    with model.reference():
        assert not model.backbone(ids, torch.ones_like(ids)).allclose(folded, atol=1e-4)


def test_sampling_repeats_by_its_seed_and_greedy_answers_are_the_likeliest(made: tuple[Path, Path, Path]) -> None:
    import torch

    from alignment.methods.online.rollouts import BatchSampler, render

    model, tokenizer = model_for(made)
    assert rollouts_of(model, tokenizer) == rollouts_of(model, tokenizer)
    sampler = BatchSampler(model, tokenizer)
    prompts = [(Message("user", text),) for text in ("Hi", "What is the time now?", "Hello there")]
    found = sampler.sample("base", prompts, Sampling(0.0, 5, seed=0, n=2))
    assert [len(samples) for samples in found] == [2, 2, 2]
    for prompt, samples in zip(prompts, found, strict=True):
        ids = render(tokenizer, prompt)
        for token in samples[0].tokens:
            with torch.no_grad(), model.model.disable_adapter():
                assert token == int(model.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
            ids.append(token)
        assert samples[0] == samples[1]
    with pytest.raises(ConnectionError, match="policy-9 is not loaded"):
        sampler.sample("policy-9", prompts, Sampling(0.0, 5, seed=0))


def test_only_the_policys_adapter_is_trained(made: tuple[Path, Path, Path]) -> None:
    from alignment.methods.ppo.settings import PpoSettings
    from alignment.methods.ppo.train import PpoRun

    model, tokenizer = model_for(made)
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    run = PpoRun(model, PpoSettings.read(SMALL), seed=1)
    run.step(rollouts_of(model, tokenizer, n=16), 0)
    changed = {name for name, value in model.model.state_dict().items() if not value.equal(before[name])}
    assert changed
    assert all(".default." in name for name in changed)


def test_continuing_an_adapter_takes_it_as_the_reference(made: tuple[Path, Path, Path], tmp_path: Path) -> None:
    first = spec_for(made, tmp_path / "first", rate=2e-2)
    run_stage(first)
    records: list[Any] = []
    model, data, reward = made
    again = StageSpec("ppo", data, str(model), tmp_path / "again", SMALL, 2, adapter=first.out, reward=reward)
    manifest = run_stage(again, records.append)
    assert records[1]["kl"] == pytest.approx(0.0, abs=1e-4)
    assert manifest.metrics["started_from"] == "adapter"
    assert set(manifest.files) == {"adapter_config.json", "adapter_model.safetensors"}
    second, _ = model_for(made, first.out)
    policy = [p for n, p in second.model.named_parameters() if ".default." in n]
    reference = [p for n, p in second.model.named_parameters() if ".reference." in n]
    assert all(a.equal(b) for a, b in zip(policy, reference, strict=True))


def test_the_run_ends_early_when_it_is_far_from_the_reference(made: tuple[Path, Path, Path], tmp_path: Path) -> None:
    metrics = run_stage(spec_for(made, tmp_path / "out", steps=6, stop_kl=1e-6, rate=5e-3)).metrics
    assert 1 < metrics["steps"] < 6
    assert "nats per answer from the reference" in metrics["stopped"]


def test_an_epoch_ends_early_when_the_policy_has_moved(made: tuple[Path, Path, Path], tmp_path: Path) -> None:
    plain = run_stage(spec_for(made, tmp_path / "plain", stop_step_kl=0.0)).metrics
    stopped = run_stage(spec_for(made, tmp_path / "stopped", stop_step_kl=1e-9)).metrics
    assert plain["first"]["updates"] == 4
    assert stopped["first"]["updates"] < 4


class Outside:
    """Gives texts alone, as some servers do; remembers what it was handed."""

    def __init__(self, spec: StageSpec) -> None:
        self.policies: list[bytes] = []
        self.asked: list[str] = []
        self.open = True

    def publish(self, adapter: Path, step: int) -> str:
        self.policies.append((adapter / "adapter_model.safetensors").read_bytes())
        assert sum(1 for _ in adapter.parent.iterdir()) <= 2
        return f"rollout-{step}"

    def sample(self, version: str, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[list[Sample]]:
        self.asked.append(version)
        return [[Sample(f"Yes {i}{j}.", "stop") for j in range(sampling.n)] for i, _ in enumerate(prompts)]

    def close(self) -> None:
        self.open = False


@pytest.mark.parametrize("stage", ["ppo", "online-dpo", "rloo", "grpo"])
def test_another_sampler_may_answer_and_is_handed_the_policy(
    made: tuple[Path, Path, Path], tmp_path: Path, stage: str
) -> None:
    model, data, reward = made
    more: dict[str, dict[str, Setting]] = {
        "ppo": {},
        "online-dpo": {"pairs": 8, "tie": 0.0},
        "rloo": {"answers": 2, "rollouts": 16},
        "grpo": {"answers": 2, "rollouts": 16},
    }
    shared = {name: SMALL[name] for name in ("steps", "minibatch", "max_tokens", "dtype", "rate")}
    settings = {**(SMALL if stage == "ppo" else shared), **more[stage]}
    settings |= {"rollouts_from": "vllm", "vllm_url": "http://127.0.0.1:1"}
    spec = StageSpec(stage, data, str(model), tmp_path / "out", settings, 1, reward=reward)
    opened: list[Outside] = []

    def outside(spec: StageSpec) -> Outside:
        opened.append(Outside(spec))
        return opened[-1]

    manifest = run_stage(spec, outside=outside)
    (sampler,) = opened
    assert sampler.asked == ["rollout-0", "rollout-1"]
    assert sampler.policies[0] != sampler.policies[1], "the second step's rollouts come from the changed policy"
    assert not sampler.open
    assert "sampler_gap" not in manifest.metrics["last"]
    assert set(manifest.files) == {"adapter_config.json", "adapter_model.safetensors"}


def test_an_outside_that_is_away_ends_the_stage_with_the_next_step(
    made: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    class Away(Outside):
        def publish(self, adapter: Path, step: int) -> str:
            raise ConnectionError("nobody is there")

    spec = spec_for(made, tmp_path / "out", rollouts_from="vllm", vllm_url="http://127.0.0.1:1")
    with pytest.raises(StageError, match=r"nobody is there\. Start it and correct vllm_url, or set rollouts_from"):
        run_stage(spec, outside=Away)
    with pytest.raises(StageError, match="ppo's rollouts_from=vllm needs vllm_url"):
        run_stage(spec_for(made, tmp_path / "b", rollouts_from="vllm"), outside=Away)


def test_the_mix_pulls_towards_texts_and_refuses_without_any(made: tuple[Path, Path, Path], tmp_path: Path) -> None:
    import json
    import shutil

    with pytest.raises(StageError, match="ppo's mix needs at least one row worth imitating; this snapshot has 0"):
        run_stage(spec_for(made, tmp_path / "none", mix=0.5))
    model, data, reward = made
    shutil.copytree(data, tmp_path / "data")
    (tmp_path / "data" / "sft.jsonl").write_text(json.dumps({"prompt": "Question 1?", "completion": "Gladly!"}) + "\n")
    plain, mixed = (
        StageSpec("ppo", tmp_path / "data", str(model), tmp_path / name, {**SMALL, "mix": mix}, 1, reward=reward)
        for name, mix in (("plain", 0.0), ("mixed", 1.0))
    )
    for spec in (plain, mixed):
        run_stage(spec)
    weights = [(spec.out / "adapter_model.safetensors").read_bytes() for spec in (plain, mixed)]
    assert weights[0] != weights[1]


def test_too_few_prompts_are_refused_with_both_numbers(made: tuple[Path, Path, Path], tmp_path: Path) -> None:
    spec = spec_for(made, tmp_path / "out", min_prompts=50)
    with pytest.raises(StageError, match=r"ppo needs at least 50 different prompts to answer; this snapshot has 12"):
        run_stage(spec)
    assert not is_complete(spec.out)


def test_prompts_of_a_file_come_beside_those_of_the_dataset(made: tuple[Path, Path, Path], tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "Hi"}\n{"prompt": [{"role": "user", "content": "Hello"}]}\n{"prompt": "Question 1?"}\n')
    metrics = run_stage(spec_for(made, tmp_path / "out", prompts=str(file), steps=1)).metrics
    assert metrics["prompts"] == 14


def test_a_reward_model_is_needed_and_must_be_one(made: tuple[Path, Path, Path], tmp_path: Path) -> None:
    model, data, _ = made
    with pytest.raises(StageError, match="ppo needs a reward model: train one first"):
        run_stage(StageSpec("ppo", data, str(model), tmp_path / "a", SMALL))
    with pytest.raises(StageError, match="holds no reward model"):
        run_stage(StageSpec("ppo", data, str(model), tmp_path / "b", SMALL, reward=data))


def test_a_loss_that_is_no_number_fails_with_a_reason(made: tuple[Path, Path, Path], tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"ppo ended at step .* its loss is not a number"):
        run_stage(spec_for(made, tmp_path / "out", rate=1e30, stop_step_kl=0.0, steps=4))
