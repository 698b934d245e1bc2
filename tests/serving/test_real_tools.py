"""A real vLLM with a parser of tool calls, behind the door, as OpenAI's client sees it; and older completions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from alignment.dataset.reading.turns import calls_of
from feedback_app.store.database import Store
from feedback_app.store.tables import Completion, Message
from tests.bench.door import NAMES, door_over
from tests.serving.real import RealVllm, real_vllm

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
COLOUR: Any = {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}}, "required": ["colour"]}
TOOLS: Any = [{"type": "function", "function": {"name": "paint", "parameters": COLOUR}}]
PAINT: Any = {"type": "function", "function": {"name": "paint"}}
HELLO: Any = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def vllm(tiny_opt: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealVllm]:
    with real_vllm(tiny_opt, tmp_path_factory.mktemp("vllm"), served_names=NAMES, tool_parser="hermes") as real:
        yield real


def texts(store: Store) -> list[str]:
    """What the answers of the database say."""
    with store.database.read() as session:
        statement = select(Message.content).join(Completion).order_by(Completion.created_at)  # type: ignore[arg-type]
        return list(session.exec(statement))


async def test_a_named_tool_is_called_whole_and_streamed_and_the_call_is_kept(vllm: RealVllm, tmp_path: Path) -> None:
    async with (
        door_over(vllm.url, f"sqlite:///{tmp_path}/door.db", tool_parser="hermes") as door,
        door.openai() as client,
    ):
        asked: Any = {"model": "policy", "messages": HELLO, "tools": TOOLS, "tool_choice": PAINT, "max_tokens": 40}
        whole = await client.chat.completions.create(**asked)
        [call] = whole.choices[0].message.tool_calls or []
        assert call.type == "function"
        name, arguments = "", ""
        async for event in await client.chat.completions.create(**asked, stream=True):
            for piece in event.choices[0].delta.tool_calls or [] if event.choices else []:
                assert piece.function is not None
                name, arguments = name or piece.function.name or "", arguments + (piece.function.arguments or "")
        assert (call.function.name, name) == ("paint", "paint")
        first, second = map(calls_of, await asyncio.to_thread(texts, door.store))
        assert first == ([{"name": "paint", "arguments": call.function.arguments}], "")
        assert second == ([{"name": "paint", "arguments": arguments}], "")
        offered = await client.chat.completions.create(model="policy", messages=HELLO, tools=TOOLS, max_tokens=8)
        assert offered.choices[0].finish_reason in ("length", "stop", "tool_calls")


async def test_a_text_goes_on_whole_and_streamed(vllm: RealVllm, tmp_path: Path) -> None:
    async with door_over(vllm.url, f"sqlite:///{tmp_path}/door.db") as door, door.openai() as client:
        asked: Any = {"model": "policy", "prompt": "Once there was", "max_tokens": 8, "temperature": 0}
        whole = await client.completions.create(**asked)
        assert whole.model == "base"
        pieces = [event.choices[0].text async for event in await client.completions.create(**asked, stream=True)]
        assert "".join(pieces) == whole.choices[0].text
        assert await asyncio.to_thread(texts, door.store) == []
