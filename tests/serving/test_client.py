"""The HTTP client against the fake: shapes, raw bytes, errors, aborts."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from serving.client import SseLines, VllmClient, VllmError, VllmUnreachable
from tests.serving.fake_vllm import FakeVllm, running

ASK = {"model": "base", "messages": [{"role": "user", "content": "one two three"}]}


@pytest.fixture
async def fake() -> AsyncIterator[FakeVllm]:
    async with running(FakeVllm()) as fake:
        yield fake


@pytest.fixture
async def client(fake: FakeVllm) -> AsyncIterator[VllmClient]:
    async with VllmClient(fake.url, timeout_s=5) as client:
        yield client


async def test_health_and_models(client: VllmClient, fake: FakeVllm) -> None:
    assert await client.health()
    fake.healthy = False
    assert not await client.health()
    assert [(model.name, model.parent, model.max_model_len) for model in await client.models()] == [("base", None, 512)]


async def test_an_adapter_is_loaded_answers_and_is_unloaded(client: VllmClient) -> None:
    await client.load("policy-0001", "/adapters/1")
    await client.load("policy-0001", "/adapters/1")
    await client.probe("policy-0001")
    models = await client.models()
    assert [(model.name, model.parent, model.path) for model in models[1:]] == [("policy-0001", "base", "/adapters/1")]
    await client.unload("policy-0001")
    await client.unload("policy-0001")
    with pytest.raises(VllmError, match="does not exist") as caught:
        await client.probe("policy-0001")
    assert caught.value.status == 404


async def test_loading_what_is_not_there_is_an_error(client: VllmClient) -> None:
    with pytest.raises(VllmError, match="cannot be found"):
        await client.load("policy-0001", "/missing")


async def test_a_whole_answer_and_a_count(client: VllmClient) -> None:
    reply = await client.chat(ASK)
    assert reply["choices"][0]["message"]["content"] == "base heard: one two three"
    assert await client.tokenize(ASK["messages"]) == 4  # type: ignore[arg-type]


async def test_a_stream_is_the_bytes_that_vllm_sent(client: VllmClient, fake: FakeVllm) -> None:
    received = b"".join([chunk async for chunk in client.stream(ASK)])
    assert received == fake.served[0]


async def test_events_are_text_then_reason_then_usage(client: VllmClient) -> None:
    chunks = [chunk async for chunk in client.events(ASK)]
    assert "".join(chunk.delta for chunk in chunks) == "base heard: one two three"
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["stop"]
    assert chunks[-1].usage == {"prompt_tokens": 4, "completion_tokens": 5, "total_tokens": 9}


async def test_leaving_a_stream_makes_vllm_stop(client: VllmClient, fake: FakeVllm) -> None:
    fake.hold = asyncio.Event()
    async with contextlib.aclosing(client.events(ASK)) as events:
        assert (await anext(events)).delta == "base"
    await asyncio.wait_for(fake.aborted.wait(), 5)


async def test_a_stream_that_breaks_off_is_unreachable_not_an_end(client: VllmClient, fake: FakeVllm) -> None:
    fake.broken = True
    with pytest.raises(VllmUnreachable):
        [chunk async for chunk in client.events(ASK)]


async def test_nobody_there_is_unreachable() -> None:
    async with VllmClient("http://127.0.0.1:9", timeout_s=2) as client:
        assert not await client.health()
        with pytest.raises(VllmUnreachable, match="cannot be reached"):
            await client.models()


async def test_too_slow_is_unreachable(fake: FakeVllm) -> None:
    fake.delay_s = 5
    async with VllmClient(fake.url, timeout_s=0.2) as client:
        with pytest.raises(VllmUnreachable, match="in time"):
            await client.chat(ASK)


async def test_an_overlong_prompt_is_vllms_own_400(client: VllmClient, fake: FakeVllm) -> None:
    fake.window = 3
    with pytest.raises(VllmError, match="maximum context length") as caught:
        [chunk async for chunk in client.events(ASK)]
    assert caught.value.status == 400


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_events_survive_chunks_cut_anywhere(size: int) -> None:
    raw = 'data: {"a": "é"}\r\n\r\n: a comment\n\ndata: {"b": 2}\n\ndata: [DONE]\n\n'.encode()
    lines, events = SseLines(), []
    for at in range(0, len(raw), size):
        events += lines.feed(raw[at : at + size])
    assert events == [{"a": "é"}, {"b": 2}]


def test_one_client_may_be_used_from_one_loop_after_another() -> None:
    async def ask(client: VllmClient) -> str:
        async with running(FakeVllm()) as fake:
            client.base_url = fake.url
            reply = await client.chat(ASK)
            await client.close()
            return str(reply["choices"][0]["message"]["content"])

    client = VllmClient("http://127.0.0.1:9", timeout_s=5)
    assert asyncio.run(ask(client)) == asyncio.run(ask(client)) == "base heard: one two three"


async def test_next_tokens_are_asked_by_id_without_the_cache_or_prompt_logprobs(
    client: VllmClient, fake: FakeVllm
) -> None:
    assert await client.next_token("base", [7, 8], tokens=[3, 5]) == {3: -3.0, 5: -5.0}
    assert await client.next_token("base", [7, 8], likeliest=2) == {99: -99.0, 0: 0.0, 1: -1.0}
    first, second = (json.loads(raw) for raw in fake.requests)
    assert (first["prompt"], first["logprob_token_ids"], first["max_tokens"]) == ([7, 8], [3, 5], 1)
    assert (second["logprobs"], "logprob_token_ids" in second) == (2, False)
    assert first["cache_salt"] != second["cache_salt"]
    assert not {"prompt_logprobs", "seed"} & {*first, *second}


async def test_a_log_probability_that_is_no_number_is_left_out(client: VllmClient, fake: FakeVllm) -> None:
    fake.logprobs = {3: None}
    assert await client.next_token("base", [7, 8], tokens=[3, 5]) == {5: -5.0}


async def test_the_tokens_of_the_likeliest_answer(client: VllmClient) -> None:
    assert await client.greedy("base", "one two", 16) == ([0, 1, 2], [4, 6, 3, 3])


async def test_a_vllm_that_does_not_say_its_version_has_none(client: VllmClient) -> None:
    assert await client.version() == ""


@contextlib.asynccontextmanager
async def closing_server(answers_per_connection: int) -> AsyncIterator[tuple[str, list[int]]]:
    """A server that ends each connection at the request after so many, unanswered.

    Yields its URL and how many requests each connection brought.
    """
    asked: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(asked)
        asked.append(0)
        while await reader.readline():
            while await reader.readline() != b"\r\n":
                pass
            await reader.readexactly(2)
            asked[number] += 1
            if asked[number] > answers_per_connection:
                break
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


async def test_a_connection_that_ended_while_it_was_idle_is_no_failure() -> None:
    async with closing_server(1) as (url, asked), VllmClient(url) as client:
        for _ in range(4):
            async with client.raw("POST", "/x", b"{}") as reply:
                assert [chunk async for chunk in reply.chunks] == []
        assert asked == [2, 2, 2, 1]


async def test_a_server_that_never_answers_is_asked_twice_and_no_more() -> None:
    async with closing_server(0) as (url, asked), VllmClient(url) as client:
        with pytest.raises(VllmUnreachable):
            async with client.raw("POST", "/x", b"{}"):
                pass
        assert asked == [1, 1]


async def test_without_a_system_role_its_text_is_counted_and_sent_before_the_first_question(fake: FakeVllm) -> None:
    talk = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello?"}]
    together = [{"role": "user", "content": "Be kind.\n\nHello?"}]
    async with VllmClient(fake.url, timeout_s=5, system_role=False) as client:
        assert await client.tokenize(talk) == await client.tokenize(together)
        await client.chat({"model": "base", "messages": talk})
        async for _ in client.events({"model": "base", "messages": talk}):  # type: ignore[typeddict-item]
            pass
    assert [json.loads(body)["messages"] for body in fake.requests[-2:]] == [together, together]
