"""The sampler against the fake: order, seeds, several samples, threads, errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from aiohttp import web

from alignment.dataset.judgement import Message
from serving.errors import VllmError, VllmUnreachable
from serving.sampler import HttpSampler
from tests.serving.asked import PROMPTS, Sampling
from tests.serving.fake_vllm import FakeVllm, running


@pytest.fixture
async def fake() -> AsyncIterator[FakeVllm]:
    async with running(FakeVllm()) as fake:
        yield fake


async def test_samples_come_in_order_with_one_seed_per_prompt(fake: FakeVllm) -> None:
    sampler = HttpSampler(fake.url)
    samples = await asyncio.to_thread(sampler.sample, "base", PROMPTS, Sampling())
    sampler.close()
    assert [[sample.text for sample in row] for row in samples] == [
        [f"base heard: question {number}", f"base heard: question {number} (1)"] for number in range(20)
    ]
    seeds = {body["messages"][0]["content"]: body["seed"] for body in map(json.loads, fake.requests)}
    assert seeds == {f"question {number}": 100 + number for number in range(20)}


async def test_many_threads_may_share_one_sampler(fake: FakeVllm) -> None:
    sampler = HttpSampler(fake.url, concurrency=3)

    def ask(number: int) -> str:
        return sampler.sample("base", [PROMPTS[number]], Sampling(n=1))[0][0].text

    def all_at_once() -> list[str]:
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(ask, range(20)))

    assert await asyncio.to_thread(all_at_once) == [f"base heard: question {number}" for number in range(20)]
    sampler.close()


async def test_a_given_answer_is_the_tokens_that_its_template_puts_behind_the_prompt(fake: FakeVllm) -> None:
    sampler = HttpSampler(fake.url)
    answers = [f"a whole answer {number}" for number in range(20)]
    samples = await asyncio.to_thread(sampler.encode, "base", PROMPTS, answers)
    assert [sample.text for sample in samples] == answers
    assert len({len(sample.tokens) for sample in samples}) == 1
    assert samples[0].tokens
    sampler.close()


async def test_a_template_that_renders_answered_prompts_otherwise_gives_no_tokens(
    fake: FakeVllm, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = HttpSampler(fake.url)
    monkeypatch.setattr(sampler, "opening_of", lambda version, prompt: [99, 98])
    [sample] = await asyncio.to_thread(sampler.encode, "base", PROMPTS[:1], ["an answer"])
    assert sample.tokens == ()
    sampler.close()


async def test_texts_that_may_follow_an_answers_beginning_are_tokens_behind_its_own(fake: FakeVllm) -> None:
    sampler = HttpSampler(fake.url)
    texts = [["red", "deep blue"] for _ in PROMPTS]
    found = await asyncio.to_thread(sampler.continued, "base", PROMPTS, "Answer:", texts)
    sampler.close()
    assert len(found) == len(PROMPTS)
    red, deep, blue, answer = (sum(map(ord, word)) for word in ("red", "deep", "blue", "Answer:"))
    assert {tuple(map(tuple, each[1])) for each in found if each is not None} == {((red,), (deep, blue))}
    assert all(each is not None and each[0][-1] == answer for each in found)


async def test_a_text_that_melts_into_the_lead_cannot_be_told_from_it(
    fake: FakeVllm, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def melted(request: web.Request) -> web.Response:
        body = await request.json()
        return web.json_response({"tokens": [len(body["messages"][-1]["content"])]})

    monkeypatch.setattr(FakeVllm, "app", lambda self: _routes(web.post("/tokenize", melted)))
    async with running(FakeVllm()) as other:
        sampler = HttpSampler(other.url)
        assert await asyncio.to_thread(sampler.continued, "base", PROMPTS[:1], "Answer:", [["red"]]) == [None]
        sampler.close()


async def test_the_next_tokens_log_probabilities_are_asked_for_by_their_ids_and_keep_the_prefix_cache(
    fake: FakeVllm,
) -> None:
    fake.logprobs = {5: -0.5, 7: None}
    sampler = HttpSampler(fake.url)
    found = await asyncio.to_thread(sampler.next_logprobs, "base", [[1, 2], [1, 3]], [[5, 6], [7, 8]])
    sampler.close()
    assert found == [{5: -0.5, 6: -6.0}, {8: -8.0}]
    bodies = {tuple(body["prompt"]): body for body in map(json.loads, fake.requests)}
    assert bodies[1, 2]["logprob_token_ids"] == [5, 6]
    assert {body["max_tokens"] for body in bodies.values()} == {1}
    assert all("prompt_logprobs" not in body and "cache_salt" not in body for body in bodies.values())


def _routes(*routes: web.RouteDef) -> web.Application:
    app = web.Application()
    app.add_routes(routes)
    return app


async def test_a_version_that_is_not_loaded_is_vllms_error(fake: FakeVllm) -> None:
    sampler = HttpSampler(fake.url)
    with pytest.raises(VllmError, match="does not exist") as caught:
        await asyncio.to_thread(sampler.sample, "policy-0001", PROMPTS, Sampling())
    sampler.close()
    assert caught.value.status == 404


async def test_a_vllm_that_came_back_is_asked_again() -> None:
    async with running(FakeVllm()) as fake:
        sampler = HttpSampler(fake.url, concurrency=1)
        await asyncio.to_thread(sampler.sample, "base", PROMPTS[:1], Sampling())
        port = int(fake.url.rsplit(":", 1)[1])
    with pytest.raises(ConnectionError):
        await asyncio.to_thread(sampler.sample, "base", PROMPTS[:1], Sampling())
    async with running(FakeVllm(), port):
        [[first, _]] = await asyncio.to_thread(sampler.sample, "base", PROMPTS[:1], Sampling())
    sampler.close()
    assert first.text == "base heard: question 0"


def test_nobody_there_is_a_connection_error() -> None:
    sampler = HttpSampler("http://127.0.0.1:9")
    with pytest.raises(VllmUnreachable):
        sampler.sample("base", PROMPTS[:1], Sampling())
    sampler.close()


async def test_without_a_system_role_its_text_is_sent_before_the_first_question(fake: FakeVllm) -> None:
    prompt = (Message("system", "Be kind."), Message("user", "Hello?"))
    sampler = HttpSampler(fake.url, system_role=False)
    await asyncio.to_thread(sampler.sample, "base", [prompt], Sampling(n=1))
    sampler.close()
    assert json.loads(fake.requests[-1])["messages"] == [{"role": "user", "content": "Be kind.\n\nHello?"}]
