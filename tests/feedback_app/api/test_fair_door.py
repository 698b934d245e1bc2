"""The door when more is asked than runs: whose turn it is, how waiting ends, and what is refused unread."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from feedback_app.api import door
from feedback_app.collect.admission import Claim, Load
from tests.waiting import until

if TYPE_CHECKING:
    from tests.feedback_app.api.conftest import Site

pytestmark = pytest.mark.slow

Ask = Callable[[str], AsyncOpenAI]
HELLO: Any = [{"role": "user", "content": "hello there"}]


def streamed(client: AsyncOpenAI, **more: Any) -> Any:
    return client.chat.completions.create(model="policy", messages=HELLO, stream=True, **more)


def idle(site: Site) -> bool:
    return site.admission.counts() == {"weight": 0, "running": 0, "waiting": 0} and site.inflight.counts() == {}


async def test_a_newcomer_is_answered_while_anothers_requests_wait(site: Site, ask: Ask) -> None:
    site.fake.hold = asyncio.Event()
    hers = [asyncio.create_task(streamed(ask("chi"), n=2)) for _ in range(6)]  # places for four answers
    await until(lambda: site.admission.counts() == {"weight": 2, "running": 1, "waiting": 5})
    newcomer = await streamed(ask("ann"))
    first = await anext(aiter(newcomer))
    assert first.model == "policy-0001"
    assert len(site.fake.requests) == 2
    site.fake.hold.set()
    await newcomer.close()
    for task in hers:
        [chunk async for chunk in await task]
    await until(lambda: idle(site))


@pytest.mark.parametrize("stream", [False, True])
async def test_who_waits_in_vain_is_told_so_in_time_and_when_to_come_back(site: Site, ask: Ask, stream: bool) -> None:
    site.deadline(1.0)
    taken = [site.admission.claim(f"p{number}", site.one, 100) for number in range(4)]
    began = asyncio.get_running_loop().time()
    with pytest.raises(openai.InternalServerError, match=r"waited \d s for its turn") as refused:
        await ask("chi").chat.completions.create(model="policy", messages=HELLO, stream=stream)
    assert asyncio.get_running_loop().time() - began < 5
    assert refused.value.status_code == 503
    assert int(refused.value.response.headers["retry-after"]) > 0
    assert not site.fake.requests
    for claim in taken:
        claim.release()
    assert idle(site)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_while_it_waits_gives_up_its_turn(site: Site, stream: bool) -> None:
    taken = [site.admission.claim(f"p{number}", site.one, 100) for number in range(4)]
    body = {"model": "policy", "messages": HELLO, "stream": stream}
    headers = {"Authorization": f"Bearer {site.keys['chi']}"}
    async with httpx.AsyncClient(trust_env=False) as client:
        asking = asyncio.create_task(client.post(f"{site.url}/v1/chat/completions", json=body, headers=headers))
        await until(lambda: site.admission.counts()["waiting"] == 1)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    await until(lambda: site.admission.counts()["waiting"] == 0)
    for claim in taken:
        claim.release()
    assert idle(site)
    assert not site.fake.requests


async def test_who_is_disabled_while_they_wait_is_not_answered(site: Site, ask: Ask) -> None:
    taken = [site.admission.claim(f"p{number}", site.one, 100) for number in range(4)]
    asking = asyncio.create_task(streamed(ask("chi")))
    await until(lambda: site.admission.counts()["waiting"] == 1)
    chi = site.store.people.by_name("chi")
    assert chi is not None
    site.store.people.set_disabled(chi.id, True)
    for claim in taken:
        claim.release()
    with pytest.raises(openai.AuthenticationError):
        await asking
    assert not site.fake.requests
    assert idle(site)


async def test_a_client_that_leaves_while_its_whole_answer_is_written_ends_it(site: Site) -> None:
    site.fake.delay_s = 30
    body = {"model": "policy", "messages": HELLO}
    headers = {"Authorization": f"Bearer {site.keys['chi']}"}
    async with httpx.AsyncClient(trust_env=False) as client:
        asking = asyncio.create_task(client.post(f"{site.url}/v1/chat/completions", json=body, headers=headers))
        await until(lambda: site.fake.requests)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    await until(lambda: idle(site), 5)  # half of its deadline


async def test_errors_of_vllm_and_refusals_leave_no_place_taken(site: Site, ask: Ask) -> None:
    site.fake.broken = True
    with pytest.raises(openai.APIError):
        [chunk async for chunk in await streamed(ask("chi"))]
    site.fake.adapters.clear()
    with pytest.raises(openai.InternalServerError):
        await streamed(ask("chi"))
    await until(lambda: idle(site))


async def test_who_does_not_read_their_answer_holds_no_place_beyond_its_deadline(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "LATE_READER_S", 0.2)
    site.deadline(4)

    async def many(*_: object) -> AsyncIterator[dict[str, Any]]:
        for _number in range(500):  # more than the sockets between them hold
            await asyncio.sleep(0.002)
            yield {"choices": [{"index": 0, "delta": {"content": "z" * 40_000}, "finish_reason": None}]}

    monkeypatch.setattr(site.fake, "events", many)
    body = json.dumps({"model": "policy", "messages": HELLO, "stream": True}).encode()
    host, port = site.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {site.keys['chi']}\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    await until(lambda: site.admission.counts()["running"] == 1)
    await until(lambda: idle(site), 20)
    assert site.store.reservations.listing() == []  # what had come is kept
    writer.transport.abort()
    assert b"200 OK" in await reader.read(100)


@pytest.mark.parametrize(
    ("amounts", "longest"),
    [({"max_tokens": 1, "max_completion_tokens": 10**12}, 512), ({"max_tokens": 10**12}, 512), ({"max_tokens": 7}, 7)],
)
async def test_the_longest_answer_is_weighed_and_recorded_as_vllm_reads_it(
    site: Site, ask: Ask, amounts: dict[str, Any], longest: int
) -> None:
    site.admission.tokens = 2048  # a place is 512 tokens: a whole window and the prompt are two
    claimed: list[int] = []
    claim = site.admission.claim

    def noting(person_id: str, load: Load, deadline_s: float, began: float | None = None) -> Claim:
        claimed.append(load.max_tokens)
        return claim(person_id, load, deadline_s, began)

    site.admission.claim = noting  # type: ignore[method-assign]
    raw = await ask("chi").chat.completions.with_raw_response.create(model="policy", messages=HELLO, **amounts)
    found = site.store.tasks.ticket(raw.headers["x-alignloop-ticket"])
    assert found is not None
    completion = site.store.conversations.completion(found[0].order[0])
    assert completion is not None
    assert completion.sampling[list(amounts)[-1]] == longest
    assert longest - 20 < claimed[0] <= longest


@pytest.mark.parametrize("contents", [["word " * 20_000], [[{"type": "text", "text": "x" * 70_000}] * 2], ["x"] * 513])
async def test_what_cannot_fit_the_window_is_refused_unread(site: Site, contents: list[Any]) -> None:
    body = {"model": "policy", "messages": [{"role": "user", "content": content} for content in contents]}
    headers = {"Authorization": f"Bearer {site.keys['chi']}"}
    async with httpx.AsyncClient(trust_env=False) as client:
        reply = await client.post(f"{site.url}/v1/chat/completions", json=body, headers=headers)
    assert reply.status_code == 413
    message = reply.json()["error"]["message"]
    assert "at least" in message
    assert "reads at most 512. Shorten it" in message
    assert not site.fake.requests
    assert site.fake.tokenized == 0


@pytest.mark.parametrize(
    ("amounts", "words"),
    [
        ({"max_tokens": 0}, "max_tokens must be a whole number from 1"),
        ({"max_tokens": "9"}, "max_tokens must be"),
        ({"max_completion_tokens": -1}, "max_completion_tokens must be"),
        ({"n": True}, "n must be a whole number"),
        ({"n": 17}, "n must be a whole number from 1 to 16"),
        ({"n": 10**9}, "n must be"),
        ({"max_tokens": 10, "min_tokens": 11}, "min_tokens must be a whole number from 0 to 10"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs must be a whole number from 0 to 20"),
        ({"stop": ["a"] * 17}, "at most 16 endings"),
        ({"stop": "a" * 257}, "at most 256 characters"),
    ],
)
async def test_amounts_out_of_bounds_are_400_and_name_the_bound(
    site: Site, amounts: dict[str, Any], words: str
) -> None:
    headers = {"Authorization": f"Bearer {site.keys['ope']}"}
    async with httpx.AsyncClient(trust_env=False) as client:
        body = {"model": "policy", "messages": HELLO, **amounts}
        reply = await client.post(f"{site.url}/v1/chat/completions", json=body, headers=headers)
    assert reply.status_code == 400
    assert words in reply.json()["error"]["message"]
    assert not site.fake.requests


async def test_a_longest_answer_above_the_window_is_the_window(site: Site, ask: Ask) -> None:
    await ask("chi").chat.completions.create(model="policy", messages=HELLO, max_tokens=10**12)
    assert json.loads(site.fake.requests[0])["max_tokens"] == 512


async def test_a_second_request_of_one_person_is_read_behind_a_newcomers(site: Site, ask: Ask) -> None:
    site.admission.priorities = True
    site.fake.hold = asyncio.Event()
    streams = [await streamed(ask(name)) for name in ("chi", "chi", "ann")]
    assert [json.loads(raw).get("priority") for raw in site.fake.requests] == [None, 1, None]
    site.fake.hold.set()
    for stream in streams:
        [chunk async for chunk in stream]
