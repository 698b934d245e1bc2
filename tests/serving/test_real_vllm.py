"""Everything this room promises, with vLLM itself on a tiny random model."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from serving.client import VllmClient, VllmError
from serving.group import members
from serving.model_check import check_model
from serving.rollouts import VllmRollouts
from serving.sampler import HttpSampler
from tests.serving.real import START_S, RealVllm, real_vllm
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
MESSAGES = [{"role": "user", "content": "Hello"}]


@dataclass(frozen=True)
class Turn:
    role: str
    content: str


@dataclass(frozen=True)
class Sampling:
    temperature: float
    max_tokens: int = 12
    seed: int = 1
    n: int = 1


@pytest.fixture(scope="module")
def vllm(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealVllm]:
    with real_vllm(tiny_model, tmp_path_factory.mktemp("vllm")) as real:
        group = json.loads(real.pid_file.read_text())["group"]
        assert len(members(group)) >= 3, "guardian, API server and engine"
        yield real
        group = json.loads(real.pid_file.read_text())["group"]
    assert not members(group)


@pytest.fixture
async def client(vllm: RealVllm) -> AsyncIterator[VllmClient]:
    async with VllmClient(vllm.url, timeout_s=60) as client:
        yield client


def engine_of(group: int) -> int:
    [engine] = [pid for pid in members(group) if b"EngineCore" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return engine


async def text(client: VllmClient, model: str) -> str:
    reply = await client.chat({"model": model, "messages": MESSAGES, "max_tokens": 16, "temperature": 0})
    return str(reply["choices"][0]["message"]["content"])


async def test_the_model_is_served_as_base_with_the_length_its_files_say(client: VllmClient, vllm: RealVllm) -> None:
    assert await client.health()
    [model] = await client.models()
    assert (model.name, model.parent, model.max_model_len) == ("base", None, check_model(str(vllm.model)).max_len)
    await client.probe("base")


@pytest.mark.long
async def test_the_base_stays_itself_in_company_when_every_adapter_slot_is_taken(
    tiny_model: Path, adapter: Callable[[Path, int], Path], tmp_path: Path
) -> None:
    """Without `serving.vllm_plugin`, rows without an adapter get the one in the last slot."""
    with real_vllm(tiny_model, tmp_path, max_loras=2) as vllm:
        async with VllmClient(vllm.url, timeout_s=60) as client:
            alone = await text(client, "base")
            adapters = ["policy-0001", "policy-0002"]
            for seed, name in enumerate(adapters):
                await client.load(name, str(adapter(tiny_model, seed)))
            spoken = [await text(client, name) for name in adapters]
            assert alone not in spoken
            for _ in range(5):
                assert await asyncio.gather(*(text(client, name) for name in ["base", *adapters])) == [alone, *spoken]


async def test_tokens_are_counted_with_the_chat_template(client: VllmClient, vllm: RealVllm) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(vllm.model)
    ours = tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=True, tokenize=True, return_dict=False)
    assert await client.tokenize(MESSAGES) == len(ours)


async def test_an_adapter_is_loaded_changes_the_answer_and_goes_again(
    client: VllmClient, vllm: RealVllm, adapter: Callable[[Path, int], Path]
) -> None:
    before = await text(client, "base")
    for seed in (1, 2):
        await client.load(f"policy-000{seed}", str(adapter(vllm.model, seed)))
    await client.load("policy-0001", str(adapter(vllm.model, 1)))
    answers = {await text(client, name) for name in ("base", "policy-0001", "policy-0002")}
    assert len(answers) == 3
    assert await text(client, "base") == before
    assert await client.tokenize(MESSAGES, "policy-0001") > 0
    for seed in (1, 2):
        await client.unload(f"policy-000{seed}")
    await client.unload("policy-0001")
    assert [model.name for model in await client.models()] == ["base"]
    with pytest.raises(VllmError) as caught:
        await client.probe("policy-0001")
    assert caught.value.status == 404


async def test_choices_are_as_probable_as_transformers_finds_them_for_each_version(
    client: VllmClient, vllm: RealVllm, adapter: Callable[[Path, int], Path]
) -> None:
    from alignment.methods.online.local_sampler import BASE, LocalModel

    await client.load("policy-0011", str(adapter(vllm.model, 1)))
    prompts = [[Turn("user", f"Which is it, number {number}?")] for number in range(6)]
    texts = [["a dog", "cat", "a cat and a dog"]] * len(prompts)
    sampler, local = HttpSampler(vllm.url), LocalModel(str(vllm.model))
    local.load("policy-0011", adapter(vllm.model, 1))
    found = await asyncio.to_thread(sampler.continued, "base", prompts, "Answer:", texts)
    assert found == local.continued(BASE, prompts, "Answer:", texts)  # type: ignore[arg-type]
    contexts = [pair[0] for pair in found if pair is not None]
    tokens = [sorted({text[0] for text in pair[1]}) for pair in found if pair is not None]
    assert len(contexts) == len(prompts)
    likely = {}
    for name, ours in (("base", BASE), ("policy-0011", "policy-0011")):
        likely[name] = await asyncio.to_thread(sampler.next_logprobs, name, contexts, tokens)
        expected = local.next_logprobs(ours, contexts, tokens)
        for theirs, mine in zip(likely[name], expected, strict=True):
            assert theirs == pytest.approx(mine, abs=0.1)  # bf16 there, float32 here
    sampler.close()
    assert likely["base"] != likely["policy-0011"]
    await client.unload("policy-0011")


async def test_a_folder_that_is_no_adapter_is_an_error(client: VllmClient, tmp_path: Path) -> None:
    with pytest.raises(VllmError):
        await client.load("policy-0009", str(tmp_path / "missing"))
    assert [model.name for model in await client.models()] == ["base"]


async def test_a_stream_read_as_events_says_what_one_piece_says(client: VllmClient) -> None:
    payload = {"model": "base", "messages": MESSAGES, "max_tokens": 16, "temperature": 0}
    chunks = [chunk async for chunk in client.events(payload)]
    assert "".join(chunk.delta for chunk in chunks) == await text(client, "base")
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] in (["length"], ["stop"])
    usage = chunks[-1].usage
    assert usage is not None
    assert usage["prompt_tokens"] == await client.tokenize(MESSAGES)


async def test_an_overlong_prompt_is_400(client: VllmClient) -> None:
    with pytest.raises(VllmError) as caught:
        await client.chat({"model": "base", "messages": [{"role": "user", "content": "x" * 2000}]})
    assert caught.value.status == 400


async def test_leaving_a_stream_ends_the_request_in_vllm(client: VllmClient, vllm: RealVllm) -> None:
    def running() -> float:
        with urllib.request.urlopen(f"{vllm.url}/metrics") as reply:
            lines = [
                line for line in reply.read().decode().splitlines() if line.startswith("vllm:num_requests_running")
            ]
        return float(lines[0].split()[-1])

    payload = {"model": "base", "messages": MESSAGES, "max_tokens": 480, "temperature": 1, "ignore_eos": True}
    async with contextlib.aclosing(client.events(payload)) as events:
        await anext(events)
    await until(lambda: running() == 0, 30)


async def test_samples_repeat_by_seed_and_their_scores_agree(vllm: RealVllm) -> None:
    sampler = HttpSampler(vllm.url)
    prompts = [[Turn("user", f"number {number}")] for number in range(4)]
    first = await asyncio.to_thread(sampler.sample, "base", prompts, Sampling(1.0, n=2))
    again = await asyncio.to_thread(sampler.sample, "base", prompts, Sampling(1.0, n=2))
    assert [[sample.tokens for sample in row] for row in first] == [[sample.tokens for sample in row] for row in again]
    assert all(len(row) == 2 and len(row[0].tokens) == len(row[0].logprobs) > 0 for row in first)
    samples = [row[0] for row in first]
    scores = await asyncio.to_thread(sampler.score, "base", prompts, samples)
    for sample, score in zip(samples, scores, strict=True):
        assert score == pytest.approx(sample.logprobs, abs=0.05)  # bf16, and another batch
    given = await asyncio.to_thread(sampler.encode, "base", prompts, ["a given answer"] * len(prompts))
    assert len({sample.tokens for sample in given}) == 1
    assert all(score < 0 for row in await asyncio.to_thread(sampler.score, "base", prompts, given) for score in row)
    sampler.close()


async def test_a_policy_in_training_is_sampled_token_by_token_and_leaves_nothing_behind(
    client: VllmClient, vllm: RealVllm, adapter: Callable[[Path, int], Path], tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    ends = AutoTokenizer.from_pretrained(vllm.model).eos_token_id
    rollouts = VllmRollouts(vllm.url, tmp_path)
    prompts = [[Turn("user", f"number {number}")] for number in range(24)]
    answers = []
    for step in (1, 2):
        name = await asyncio.to_thread(rollouts.publish, adapter(vllm.model, step), step)
        answers.append(await asyncio.to_thread(rollouts.sample, name, prompts, Sampling(1.0, 60, n=2)))
    assert answers[0] != answers[1]
    samples = [sample for row in answers[1] for sample in row]
    assert all(len(sample.tokens) == len(sample.logprobs) > 0 for sample in samples)
    finished = [sample for sample in samples if sample.finish_reason == "stop"]
    assert finished
    assert all(sample.tokens[-1] == ends for sample in finished)
    assert [model.name for model in await client.models()] == ["base", name]
    await asyncio.to_thread(rollouts.close)
    assert [model.name for model in await client.models()] == ["base"]


async def test_ppo_through_vllm_sees_the_probabilities_that_it_computes_itself(
    client: VllmClient, vllm: RealVllm, tmp_path: Path
) -> None:
    from alignment.methods.registry import run_stage
    from alignment.stage.spec import StageSpec
    from feedback_app.loop.stage_with_vllm import VllmOutside
    from tests.alignment.builders import vote
    from tests.alignment.compiled import write_compiled

    votes = [vote(i, f"Gladly, friend {i}!", f"No {i}.", (1, 2), prompt=f"Question {i}?") for i in range(12)]
    write_compiled(votes, tmp_path / "data")
    model, shared = str(vllm.model), {"dtype": "bf16"}
    reward = StageSpec("reward", tmp_path / "data", model, tmp_path / "reward", {"epochs": 1, **shared}, 1)
    await asyncio.to_thread(run_stage, reward)
    settings = {"steps": 2, "rollouts": 16, "max_tokens": 12, "rollouts_from": "vllm", "vllm_url": vllm.url, **shared}
    ppo = StageSpec("ppo", tmp_path / "data", model, tmp_path / "ppo", settings, 1, reward=reward.out)
    metrics = (await asyncio.to_thread(run_stage, ppo, outside=VllmOutside)).metrics
    for end in ("first", "last"):
        assert 0 < metrics[end]["sampler_gap"] < 0.05, "bf16 in two programs, nats per token"
    assert [served.name for served in await client.models()] == ["base"]


async def test_after_a_kill_of_the_engine_vllm_comes_back_and_adapters_can_be_loaded_again(
    client: VllmClient, vllm: RealVllm, adapter: Callable[[Path, int], Path]
) -> None:
    async def reconcile() -> None:
        async with VllmClient(vllm.url, timeout_s=60) as own:
            await own.load("policy-0003", str(adapter(vllm.model, 3)))
        reconciled.append(True)

    reconciled: list[bool] = []
    await client.load("policy-0003", str(adapter(vllm.model, 3)))
    before = await text(client, "policy-0003")
    group = json.loads(vllm.pid_file.read_text())["group"]
    vllm.supervisor.on_ready.append(reconcile)
    try:
        os.kill(engine_of(group), signal.SIGKILL)
        await until(lambda: vllm.supervisor.state().restarts == 1, 60)
        assert not members(group)
        await until(lambda: reconciled, START_S)
    finally:
        vllm.supervisor.on_ready.remove(reconcile)
    assert vllm.supervisor.state().name == "ready"
    assert await text(client, "policy-0003") == before
