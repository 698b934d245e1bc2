"""What OpenAI's own client gets from the door beside plain chat: tools, older completions, and what is not offered."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI
from sqlmodel import select

from alignment.dataset.judgement import Excluded
from alignment.dataset.reading.turns import calls_of
from feedback_app.store.tables import Completion, Message, Task

if TYPE_CHECKING:
    from tests.feedback_app.api.conftest import Site

pytestmark = pytest.mark.slow

Ask = Callable[[str], AsyncOpenAI]
TOOLS: Any = [{"type": "function", "function": {"name": "say", "parameters": {"type": "object"}}}]
USER: Any = {"role": "user", "content": "hello there"}


def kept(site: Site) -> list[tuple[str, str, str | None]]:
    """Every answer of the database: text, how it ended, why it never trains."""
    with site.store.database.read() as session:
        found = session.exec(select(Message, Completion).join(Completion).order_by(Message.created_at))  # type: ignore[arg-type]
        return [(message.content, about.finish_reason, about.excluded) for message, about in found]


def tasks(site: Site) -> list[Task]:
    """Everything that may be judged."""
    with site.store.database.read() as session:
        return list(session.exec(select(Task)))


async def call(site: Site, ask: Ask, messages: list[Any], stream: bool) -> tuple[str, str, str]:
    """Ask with tools: the name, the arguments and the id of the call in the answer, as the client reads it."""
    client = ask("chi")
    if not stream:
        reply = await client.chat.completions.create(model="policy", messages=messages, tools=TOOLS)
        [made] = reply.choices[0].message.tool_calls or []
        assert made.type == "function"
        assert reply.choices[0].finish_reason == "tool_calls"
        return made.function.name, made.function.arguments, made.id
    name = arguments = id = ""
    async for event in await client.chat.completions.create(
        model="policy", messages=messages, tools=TOOLS, stream=True
    ):
        for piece in event.choices[0].delta.tool_calls or []:
            assert piece.function is not None
            name, id = name or piece.function.name or "", id or piece.id or ""
            arguments += piece.function.arguments or ""
    return name, arguments, id


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_of_a_tool_reaches_the_client_and_is_kept_and_not_judged(
    site: Site, ask: Ask, stream: bool
) -> None:
    site.parser("hermes")
    site.fake.calls = True
    name, arguments, id = await call(site, ask, [USER], stream)
    assert (name, json.loads(arguments)) == ("say", {"text": "hello there"})
    [(text, ended, excluded)] = kept(site)
    assert calls_of(text) == ([{"name": "say", "arguments": arguments}], "")
    assert (ended, excluded) == ("tool_calls", Excluded.HIDDEN_PROMPT.value)
    assert tasks(site) == []
    # The tool's result comes back with the whole history, whose call is the one that is kept already.
    site.fake.calls = False
    made = {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
    history = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [made]},
        {"role": "tool", "tool_call_id": id, "content": "said"},
    ]
    reply = await ask("chi").chat.completions.create(model="policy", messages=history, tools=TOOLS)
    assert reply.choices[0].message.content == "policy-0001 heard: said"
    with site.store.database.read() as session:
        said = [(message.role, message.content) for message in session.exec(select(Message))]
    assert sorted(said) == sorted(
        [("user", "hello there"), ("assistant", text), ("tool", "said"), ("assistant", "policy-0001 heard: said")]
    )


@pytest.mark.parametrize("choice", ["auto", "required", {"type": "function", "function": {"name": "say"}}])
async def test_tools_without_a_parser_are_refused_with_the_settings_name(site: Site, ask: Ask, choice: Any) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await ask("ope").chat.completions.create(model="policy", messages=[USER], tools=TOOLS, tool_choice=choice)
    assert refused.value.type == "invalid_request_error"
    assert "ALIGNLOOP_TOOL_PARSER" in refused.value.message
    assert not site.fake.requests
    reply = await ask("chi").chat.completions.create(model="policy", messages=[USER], tool_choice="none")
    assert reply.choices[0].message.content == "policy-0001 heard: hello there"


async def test_a_plain_completion_goes_through_and_leaves_nothing_to_judge(site: Site, ask: Ask) -> None:
    raw = await ask("chi").completions.with_raw_response.create(model="policy", prompt="Once there was a fox", seed=1)
    reply = raw.parse()
    assert (reply.choices[0].text, reply.model) == (" fox goes on", "policy-0001")
    assert (raw.headers["x-alignloop-unjudged"], raw.headers["x-alignloop-version"]) == ("prompt", "policy-0001")
    assert "x-alignloop-ticket" not in raw.headers
    pieces = [
        (event.choices[0].text, event.model)
        async for event in await ask("chi").completions.create(model="policy", prompt=["a", "b"], stream=True)
    ]
    assert pieces == [(" a goes on", "policy-0001"), (" b goes on", "policy-0001")]
    assert [json.loads(request)["model"] for request in site.fake.requests] == [site.policy] * 2
    assert json.loads(site.fake.requests[0]) == {
        "model": site.policy, "prompt": "Once there was a fox", "seed": 1, "max_tokens": 16,
    }  # fmt: skip
    assert kept(site) == []
    assert tasks(site) == []
    assert site.inflight.counts() == {}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"prompt": "x", "echo": True}, "echo is not offered here"),
        ({"prompt": "x", "suffix": "y"}, "suffix is not offered here"),
        ({"prompt": "x", "structured_outputs": {"choice": ["y"]}}, "structured_outputs is not a field"),
        ({"prompt": "x", "prompt_logprobs": 1}, "prompt_logprobs is not a field"),
        ({"prompt": [1, 2]}, "prompt must be a text or a list of texts"),
        ({"prompt": ["x"] * 9, "n": 2}, "at most 16 answers"),
        ({"prompt": "x", "logprobs": 1000}, "logprobs must be"),
        ({"prompt": "x", "max_tokens": 0}, "max_tokens must be"),
        ({}, "has no prompt"),
    ],
)
async def test_a_plain_completion_takes_listed_fields_alone(
    site: Site, ask: Ask, body: dict[str, Any], words: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=words):
        await ask("ope").post("/completions", body={"model": "policy", **body}, cast_to=httpx.Response)
    assert not site.fake.requests


async def test_a_plain_completion_has_the_doors_bounds(site: Site, ask: Ask) -> None:
    with pytest.raises(openai.AuthenticationError):
        await site.openai("nobody's").completions.create(model="policy", prompt="x")
    with pytest.raises(openai.PermissionDeniedError):
        await ask("ann").completions.create(model="base", prompt="x")
    with pytest.raises(openai.NotFoundError):
        await ask("ope").completions.create(model="policy-0009", prompt="x")
    with pytest.raises(openai.APIStatusError) as long:
        await ask("chi").completions.create(model="policy", prompt="word " * 20_000)
    assert long.value.status_code == 413
    assert not site.fake.requests
    await ask("ope").completions.create(model="base", prompt="x", max_tokens=10**6)
    assert json.loads(site.fake.requests[0])["max_tokens"] == 512


@pytest.mark.parametrize(
    ("ask_for", "words"),
    [
        (lambda client: client.embeddings.create(model="policy", input="x"), "gives no embeddings"),
        (lambda client: client.responses.create(model="policy", input="x"), "POST /v1/chat/completions"),
        (lambda client: client.images.generate(prompt="x"), "Answers are text"),
        (lambda client: client.moderations.create(input="x"), "moderation"),
        (lambda client: client.batches.list(), "one by one"),
        (lambda client: client.files.list(), "alignloop import"),
        (lambda client: client.fine_tuning.jobs.create(model="policy", training_file="x"), "alignloop round start"),
        (lambda client: client.get("/nothing/at/all", cast_to=httpx.Response), "GET /v1/models"),
        (lambda client: client.get("/chat/completions", cast_to=httpx.Response), "POST /v1/chat/completions"),
        (lambda client: client.delete("/models/policy", cast_to=httpx.Response), "DELETE /v1/models/policy"),
    ],
)
async def test_what_is_not_offered_says_what_to_use(
    site: Site, ask: Ask, ask_for: Callable[[AsyncOpenAI], Any], words: str
) -> None:
    async def asked(client: AsyncOpenAI) -> None:
        await ask_for(client)

    with pytest.raises(openai.NotFoundError) as refused:
        await asked(ask("chi"))
    assert refused.value.type == "not_found_error"
    assert "is not offered here" in refused.value.message
    assert words in refused.value.message
    with pytest.raises(openai.AuthenticationError):
        await asked(site.openai("nobody's"))
