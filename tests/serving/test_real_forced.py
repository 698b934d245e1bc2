"""A real vLLM does what the door's fields ask of it: words are forced, cut or prefilled, and none of it trains."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from feedback_app.api.fields import FIELDS, Way
from feedback_app.collect.judge import judge, like
from tests.alignment.compiled import compile_rows
from tests.bench.door import NAMES, door_over
from tests.serving.real import RealVllm, real_vllm

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1200)]
HELLO: Any = [{"role": "user", "content": "Hello"}]
EVIL = "Vote for me."
# Values of the right type that mean nothing: parts of vLLM read what it has not checked yet.
ODD: list[dict[str, Any]] = [
    {"structured_outputs": {"choice": 5}},
    {"structured_outputs": {"regex": "("}},
    {"structured_outputs": {"nothing": 1}},
    {"response_format": {"type": "json_schema"}},
    {"response_format": {"type": 5}},
    {"logit_bias": {"x": "y"}},
    {"logit_bias": {"999999999": 1}},
    {"allowed_token_ids": []},
    {"allowed_token_ids": ["x"]},
    {"allowed_token_ids": [10**9]},
    {"bad_words": [1]},
    {"tool_choice": {"type": "function"}},
    {"tool_choice": {"function": {"name": "x"}}, "tools": [{"type": "function", "function": {"name": "y"}}]},
    {"documents": [5]},
    {"chat_template_kwargs": {"messages": 5, "tokenize": 1, "chat_template": "x"}},
    {"stop": [""]},
    {"stop": ""},
    {"temperature": -1},
    {"top_p": 7.5},
    {"top_k": -9},
    {"min_p": 3},
    {"max_tokens": -1},
    {"max_tokens": 10**30},
    {"seed": 2**70},
    {"logprobs": True, "top_logprobs": 10**9},
    {"top_logprobs": 1},
    {"reasoning_effort": "x"},
    {"echo": True, "continue_final_message": True, "add_generation_prompt": True},
    {"continue_final_message": True, "add_generation_prompt": False},
    {"repetition_penalty": 0},
    {"frequency_penalty": 1e300},
    {"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]},
    {"messages": [{"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "x", "arguments": "{"}}]}]},
    {"messages": [{"role": "developer", "content": ""}]},
]


@pytest.fixture(scope="module")
def vllm(tiny_opt: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealVllm]:
    with real_vllm(tiny_opt, tmp_path_factory.mktemp("vllm"), served_names=NAMES) as real:
        yield real


def test_every_field_that_is_passed_is_one_that_this_vllm_reads() -> None:
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

    passed = {name for name, field in FIELDS.items() if field.way in (Way.PASSED, Way.OPERATORS)}
    assert passed <= set(ChatCompletionRequest.model_fields)


async def test_what_is_forced_is_said_and_trains_nothing(vllm: RealVllm, tmp_path: Path) -> None:
    async with (
        door_over(vllm.url, f"sqlite:///{tmp_path}/door.db") as door,
        httpx.AsyncClient(trust_env=False, timeout=120, headers={"Authorization": f"Bearer {door.key}"}) as client,
    ):

        async def ask(**body: Any) -> httpx.Response:
            raw = json.dumps({"model": "policy", "messages": HELLO, "max_tokens": 24, **body}).encode()
            return await client.post(f"{door.url}/v1/chat/completions", content=raw)

        def good(reply: httpx.Response) -> str:
            """Like the answer as its asker would, and say why it may not train."""
            person = door.store.people.by_name("bench")
            found = door.store.tasks.ticket(reply.headers.get("x-alignloop-ticket", ""))
            assert person is not None
            if found is None:
                return str(reply.headers.get("x-alignloop-unjudged", ""))
            judge(door.store, person, found[0].id, like(found[0], "good"))
            completion = door.store.conversations.completion(found[0].order[0])
            assert completion is not None
            return completion.excluded or ""

        forced = await ask(structured_outputs={"choice": [EVIL]})
        assert forced.json()["choices"][0]["message"]["content"] == EVIL  # vLLM does say it
        assert await asyncio.to_thread(good, forced) == "structured_outputs"
        prefilled = await ask(
            messages=[*HELLO, {"role": "assistant", "content": EVIL}],
            **{"continue_final_message": True, "add_generation_prompt": False, "echo": True},
        )
        assert prefilled.json()["choices"][0]["message"]["content"].startswith(EVIL)
        assert "continue_final_message" in await asyncio.to_thread(good, prefilled)
        whole = (await ask(temperature=0)).json()["choices"][0]["message"]["content"]
        cut = await ask(temperature=0, stop=[whole[3]])
        assert cut.json()["choices"][0]["finish_reason"] == "stop"
        assert len(cut.json()["choices"][0]["message"]["content"]) <= 3
        assert await asyncio.to_thread(good, cut) == "stop_string"
        streamed = await ask(temperature=0, stop=[whole[3]], stream=True)
        assert await asyncio.to_thread(good, streamed) == "stop_string"
        judged = await asyncio.to_thread(lambda: list(door.store.judgements.export()))
        assert sum(sum(sides.values()) for sides in compile_rows(judged).counts["rows"].values()) == 0
        assert compile_rows(judged).counts["skipped"] == {"stop_string": 2}

        for body in ODD:
            reply = await ask(**body)
            assert reply.status_code < 500, f"{body}: {reply.text}"
        assert (await ask()).status_code == 200  # and vLLM lives
