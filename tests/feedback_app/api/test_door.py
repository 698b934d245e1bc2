"""The door as OpenAI's client sees it, and what it leaves in the database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from feedback_app.store.tables import Completion, Message, Task, Ticket
from tests.waiting import until

if TYPE_CHECKING:
    from tests.feedback_app.api.conftest import Site

pytestmark = pytest.mark.slow

Ask = Callable[[str], AsyncOpenAI]
HELLO: Any = [{"role": "user", "content": "hello there"}]


def record(site: Site, ticket_id: str) -> tuple[Ticket, Task, list[tuple[Message, Completion]]]:
    """What the store holds about a ticket."""
    found = site.store.tasks.ticket(ticket_id)
    assert found is not None, "the ticket was not recorded"
    answers = []
    for candidate in found[0].order:
        message, completion = (
            site.store.conversations.message(candidate),
            site.store.conversations.completion(candidate),
        )
        assert message is not None
        assert completion is not None
        answers.append((message, completion))
    return *found, answers


async def recorded(site: Site, ticket_id: str) -> tuple[Ticket, Task, list[tuple[Message, Completion]]]:
    """The same, once it is there."""
    await until(lambda: site.store.tasks.ticket(ticket_id))
    return record(site, ticket_id)


async def test_models_are_policy_and_for_operators_every_loaded_version(site: Site, ask: Ask) -> None:
    assert [model.id async for model in ask("chi").models.list()] == ["policy"]
    assert [model.id async for model in ask("ope").models.list()] == ["policy", "base", "policy-0001"]
    assert (await ask("chi").models.retrieve("policy")).owned_by == "alignloop"
    with pytest.raises(openai.NotFoundError, match="Ask for the model policy"):
        await ask("chi").models.retrieve("policy-0001")


async def test_an_answer_in_one_piece_is_passed_on_and_recorded(site: Site, ask: Ask) -> None:
    raw = await ask("chi").chat.completions.with_raw_response.create(
        model="policy", messages=HELLO, temperature=0.5, max_tokens=20, seed=7
    )
    reply = raw.parse()
    assert reply.model == raw.headers["x-alignloop-version"] == "policy-0001"
    assert reply.choices[0].message.content == "policy-0001 heard: hello there"
    ticket, task, [(message, completion)] = record(site, raw.headers["x-alignloop-ticket"])
    assert (task.kind, task.wanted, task.challenger) == ("like", 0, None)
    assert ticket.order == [message.id]
    assert message.content == "policy-0001 heard: hello there"
    assert [turn.content for turn in site.store.conversations.path(message.id)] == ["hello there", message.content]
    assert (completion.version, completion.adapter_hash) == ("policy-0001", "apolicy-0001")
    assert (completion.template_hash, completion.finish_reason, completion.seed) == ("template", "stop", 7)
    assert completion.sampling == {"temperature": 0.5, "max_tokens": 20}
    assert (completion.prompt_tokens, completion.completion_tokens) == (3, 4)
    assert completion.seconds > 0


async def test_a_stream_is_vllms_own_bytes_with_the_versions_name(site: Site) -> None:
    body = {"model": "policy", "messages": HELLO, "stream": True, "stream_options": {"include_usage": True}}
    async with httpx.AsyncClient(trust_env=False) as client:
        reply = await client.post(
            f"{site.url}/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {site.keys['chi']}"}
        )
    named = site.fake.served[0].replace(site.policy.encode(), b"policy-0001")
    assert reply.content == named != site.fake.served[0]
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert json.loads(site.fake.requests[0]) == {**body, "model": site.policy}


async def test_token_counts_are_recorded_but_not_shown_to_who_did_not_ask(site: Site, ask: Ask) -> None:
    raw = await ask("chi").chat.completions.with_raw_response.create(model="policy", messages=HELLO, stream=True)
    chunks = [chunk async for chunk in raw.parse()]
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "policy-0001 heard: hello there"
    _, _, [(message, completion)] = record(site, raw.headers["x-alignloop-ticket"])
    assert message.content == "policy-0001 heard: hello there"
    assert (completion.prompt_tokens, completion.completion_tokens, completion.finish_reason) == (3, 4, "stop")
    assert completion.sampling == {"temperature": 0.9}
    assert completion.first_token_s is not None
    assert 0 < completion.first_token_s <= completion.seconds


async def test_the_ticket_exists_before_the_stream_ends(site: Site, ask: Ask) -> None:
    async with ask("chi").chat.completions.with_streaming_response.create(
        model="policy", messages=HELLO, stream=True
    ) as raw:
        async for line in raw.iter_lines():
            if line == "data: [DONE]":
                record(site, raw.headers["x-alignloop-ticket"])
                return
    pytest.fail("the stream had no end")


async def test_an_answer_whose_reader_leaves_is_kept_as_stopped(site: Site, ask: Ask) -> None:
    site.fake.hold = asyncio.Event()
    raw = await ask("chi").chat.completions.with_raw_response.create(model="policy", messages=HELLO, stream=True)
    stream = raw.parse()
    async for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    assert site.inflight.counts() == {"policy-0001": 1}
    await stream.close()
    await asyncio.wait_for(site.fake.aborted.wait(), 5)
    _, _, [(message, completion)] = await recorded(site, raw.headers["x-alignloop-ticket"])
    assert (message.content, completion.finish_reason) == ("policy-0001", "stopped")
    assert completion.completion_tokens == 1
    await until(lambda: not site.inflight.counts(), 5)


async def test_an_answer_that_breaks_off_is_an_error_and_kept_as_failed(site: Site, ask: Ask) -> None:
    site.fake.broken, site.fake.hold = True, asyncio.Event()
    raw = await ask("chi").chat.completions.with_raw_response.create(model="policy", messages=HELLO, stream=True)
    stream = raw.parse()
    async for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    site.fake.hold.set()
    with pytest.raises(openai.APIError, match="cannot be reached"):
        [chunk async for chunk in stream]
    _, _, [(message, completion)] = await recorded(site, raw.headers["x-alignloop-ticket"])
    assert (message.content, completion.finish_reason) == ("policy-0001", "failed")
    await until(lambda: site.inflight.counts() == {})


async def test_length_is_recorded_as_the_reason(site: Site, ask: Ask) -> None:
    raw = await ask("chi").chat.completions.with_raw_response.create(
        model="policy", messages=HELLO, max_tokens=2, stream=True
    )
    [chunk async for chunk in raw.parse()]
    _, _, [(_, completion)] = record(site, raw.headers["x-alignloop-ticket"])
    assert completion.finish_reason == "length"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("n", "kind"), [(2, "compare"), (3, "rank")])
async def test_several_choices_are_candidates_of_one_task(
    site: Site, ask: Ask, n: int, kind: str, stream: bool
) -> None:
    raw = await ask("ann").chat.completions.with_raw_response.create(model="policy", messages=HELLO, n=n, stream=stream)
    reply: Any = raw.parse()
    if stream:
        [chunk async for chunk in reply]
    ticket, task, answers = record(site, raw.headers["x-alignloop-ticket"])
    assert task.kind == kind
    texts = ["policy-0001 heard: hello there", *(f"policy-0001 heard: hello there ({i})" for i in range(1, n))]
    assert [message.content for message, _ in answers] == texts
    assert len({message.parent_id for message, _ in answers}) == 1
    assert [completion.sent for _, completion in answers] == [[task.context_id]] * n
    assert [completion.completion_tokens for _, completion in answers] == [4] * n
    person = site.store.people.by_name("ann")
    assert person is not None
    assert site.store.tasks.waiting(person, kind, 0, None) is None
    assert ticket.person_id == person.id


async def test_a_conversation_grows_instead_of_being_stored_again(site: Site, ask: Ask) -> None:
    first = await ask("chi").chat.completions.create(model="policy", messages=HELLO)
    longer = [
        *HELLO,
        {"role": "assistant", "content": first.choices[0].message.content},
        {"role": "user", "content": "and again"},
    ]
    await ask("chi").chat.completions.create(model="policy", messages=longer)
    person = site.store.people.by_name("chi")
    assert person is not None
    [conversation] = site.store.conversations.of(person.id, "door")
    assert conversation.head_id is not None
    assert len(site.store.conversations.path(conversation.head_id)) == 4


async def test_the_next_request_after_publishing_comes_from_the_new_version(site: Site, ask: Ask) -> None:
    site.store.versions.publish("base", "rollback")
    raw = await ask("chi").chat.completions.with_raw_response.create(model="policy", messages=HELLO)
    assert raw.headers["x-alignloop-version"] == (raw.parse()).model == "base"


async def test_operators_may_name_a_version_and_others_may_not(site: Site, ask: Ask) -> None:
    assert (await ask("ope").chat.completions.create(model="base", messages=HELLO)).model == "base"
    with pytest.raises(openai.PermissionDeniedError, match="Ask for the model policy"):
        await ask("ann").chat.completions.create(model="base", messages=HELLO)
    with pytest.raises(openai.NotFoundError, match="no version called"):
        await ask("ope").chat.completions.create(model="policy-0099", messages=HELLO)


@pytest.mark.parametrize("key", ["wrong", "al-" + "x" * 43])
async def test_a_wrong_key_is_401(site: Site, key: str) -> None:
    async with site.openai(key) as client:
        with pytest.raises(openai.AuthenticationError, match="not valid"):
            await client.models.list()
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(model="policy", messages=HELLO)


async def test_no_key_a_revoked_one_and_a_disabled_persons_are_401(site: Site, ask: Ask) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        reply = await client.get(f"{site.url}/v1/models")
    assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
    person = site.store.people.by_name("ann")
    assert person is not None
    site.store.people.revoke_keys(person.id)
    with pytest.raises(openai.AuthenticationError):
        await ask("ann").models.list()
    person = site.store.people.by_name("chi")
    assert person is not None
    site.store.people.set_disabled(person.id, True)
    with pytest.raises(openai.AuthenticationError):
        await ask("chi").models.list()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"not json", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"messages": []}', "names no model"),
        (b'{"model": "policy", "messages": []}', "at least one message"),
        (b'{"model": "policy", "messages": ["hi"]}', "at least one message"),
        (b'{"model": "policy", "messages": [{"role": "user", "content": "x"}], "n": 17}', "from 1 to 16"),
        (b'{"model": "policy", "messages": [{"role": "user", "content": "x"}], "top_p": NaN}', "not JSON"),
        (b'{"model": "policy", "messages": [{"role": "user", "content": "x"}], "stream_options": 1}', "an object"),
        (b'{"model": "policy", "messages": [{"role": "user", "content": "x"}], "prompt_logprobs": 0}', "not offered"),
        (b"[" * 100_000, "nested more than 64 deep"),
    ],
)
async def test_a_request_that_cannot_be_read_is_400(site: Site, body: bytes, words: str) -> None:
    headers = {"Authorization": f"Bearer {site.keys['chi']}", "content-type": "application/json"}
    async with httpx.AsyncClient(trust_env=False) as client:
        reply = await client.post(f"{site.url}/v1/chat/completions", content=body, headers=headers)
    assert reply.status_code == 400
    assert words in reply.json()["error"]["message"]
    assert not site.fake.requests


async def test_a_prompt_beyond_the_window_is_vllms_own_400(site: Site, ask: Ask) -> None:
    with pytest.raises(openai.BadRequestError, match="maximum context length"):
        await ask("chi").chat.completions.create(
            model="policy", messages=[{"role": "user", "content": "word " * 600}], stream=True
        )
    assert site.inflight.counts() == {}


async def test_a_huge_body_is_413(site: Site, ask: Ask) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        await ask("chi").chat.completions.create(
            model="policy", messages=[{"role": "user", "content": "x" * (5 * 2**20)}]
        )
    assert caught.value.status_code == 413


async def test_without_vllm_it_is_503_and_worth_another_try(site: Site, ask: Ask) -> None:
    site.client.base_url = "http://127.0.0.1:9"
    with pytest.raises(openai.InternalServerError, match="still be loading") as caught:
        await ask("chi").chat.completions.create(model="policy", messages=HELLO)
    assert caught.value.status_code == 503
    assert int(caught.value.response.headers["retry-after"]) > 0


async def test_clients_wait_for_a_policy_that_is_not_loaded_yet(site: Site, ask: Ask) -> None:
    del site.fake.adapters[site.policy]
    with pytest.raises(openai.InternalServerError, match="not loaded yet"):
        await ask("chi").chat.completions.create(model="policy", messages=HELLO)
    with pytest.raises(openai.NotFoundError, match="not loaded now"):
        await ask("ope").chat.completions.create(model="policy-0001", messages=HELLO)
    async with site.openai(site.keys["chi"], max_retries=3) as patient:
        asking = asyncio.create_task(patient.chat.completions.create(model="policy", messages=HELLO))
        await until(lambda: len(site.fake.requests) >= 3)
        site.fake.adapters[site.policy] = "/a/1"
        assert (await asking).model == "policy-0001"


async def test_nobody_is_told_to_try_again_where_vllm_serves_another_model(site: Site, ask: Ask) -> None:
    site.store.versions.publish("base", "rollback")
    assert (await ask("chi").chat.completions.create(model="policy", messages=HELLO)).model == "base"
    site.fake.bases = ("base",)  # as a vLLM that somebody else started
    for person, model in (("chi", "policy"), ("ope", "base")):
        with pytest.raises(openai.InternalServerError, match="does not serve this installation's model"):
            await ask(person).chat.completions.create(model=model, messages=HELLO)


async def test_a_namesake_on_the_same_vllm_never_answers(site: Site, ask: Ask) -> None:
    site.fake.adapters = {"policy-0001": "/of/somebody/else"}
    with pytest.raises(openai.InternalServerError, match="not loaded yet"):
        await ask("chi").chat.completions.create(model="policy", messages=HELLO)
    assert [model.id async for model in ask("ope").models.list()] == ["policy", "base"]


async def test_one_person_cannot_have_any_number_of_requests(site: Site, ask: Ask) -> None:
    site.admission.per_person = 1
    site.fake.hold = asyncio.Event()
    stream = await ask("chi").chat.completions.create(model="policy", messages=HELLO, stream=True)
    with pytest.raises(openai.RateLimitError, match="running or waiting already") as refused:
        await ask("chi").chat.completions.create(model="policy", messages=HELLO)
    assert int(refused.value.response.headers["retry-after"]) > 0
    site.fake.hold.set()
    await ask("ann").chat.completions.create(model="policy", messages=HELLO)
    [chunk async for chunk in stream]
    await ask("chi").chat.completions.create(model="policy", messages=HELLO)


async def test_what_no_database_can_hold_is_still_recorded(site: Site, ask: Ask) -> None:
    messages: Any = [{"role": "user", "content": [{"type": "text", "text": "nul \u0000 and \ud800"}]}]
    body = json.dumps({"model": "policy", "messages": messages, "stop": ["\u0000"], "seed": 2**70}).encode()
    headers = {"Authorization": f"Bearer {site.keys['chi']}", "content-type": "application/json"}
    async with httpx.AsyncClient(trust_env=False) as client:
        reply = await client.post(f"{site.url}/v1/chat/completions", content=body, headers=headers)
    assert reply.status_code == 200
    _, _, [(message, completion)] = record(site, reply.headers["x-alignloop-ticket"])
    assert site.store.conversations.path(message.id)[0].content.startswith("nul ")
    assert completion.seed is None


async def test_a_failing_record_is_said_at_the_end_of_the_answer(
    site: Site, ask: Ask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise OSError("no space left on device")

    monkeypatch.setattr("feedback_app.api.door.record_door", fail)
    said = []
    stream = await ask("chi").chat.completions.create(model="policy", messages=HELLO, stream=True)
    with pytest.raises(openai.APIError, match="could not be stored"):
        [said.append(chunk.choices[0].delta.content or "") async for chunk in stream]  # type: ignore[func-returns-value]
    assert "".join(said) == "policy-0001 heard: hello there"
    assert "could not be recorded" in caplog.text
    with pytest.raises(openai.InternalServerError, match="could not be stored") as caught:
        await ask("chi").chat.completions.create(model="policy", messages=HELLO)
    assert "x-alignloop-ticket" not in caught.value.response.headers


async def test_many_streams_at_once_are_all_recorded(site: Site, ask: Ask) -> None:
    async def one(number: int) -> tuple[str, str]:
        raw = await ask("chi").chat.completions.with_raw_response.create(
            model="policy", messages=[{"role": "user", "content": f"number {number}"}], stream=True
        )
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in raw.parse()])
        return raw.headers["x-alignloop-ticket"], text

    for ticket_id, text in await asyncio.gather(*(one(number) for number in range(32))):
        _, _, [(message, _)] = record(site, ticket_id)
        assert message.content == text
