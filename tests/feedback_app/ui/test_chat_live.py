"""Answers on their way: a reload follows on, a stop keeps what had come, a refusal reaches the composer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from feedback_app.collect.answer import Delta, Event, Failed, Finished, Started, Waiting
from feedback_app.errors import TooLong
from feedback_app.ui.chat_live import Live, Streams


def fake_answer(gate: asyncio.Event, closed: list[str]) -> AsyncGenerator[Event]:
    async def events() -> AsyncGenerator[Event]:
        try:
            yield Started("q", "policy-0001", None)
            yield Delta("One ")
            await gate.wait()
            yield Delta("two.")
            yield Finished("m", "t", "policy-0001", "stop")
        finally:
            closed.append("closed")

    return events()


async def text_so_far(streams: Streams, wanted: str) -> None:
    async for live in streams.follow("c"):
        if live.text == wanted:
            return
    raise AssertionError("the answer ended first")


async def test_two_followers_see_the_same_answer_to_its_end() -> None:
    streams, gate = Streams(), asyncio.Event()
    await streams.start("c", lambda: fake_answer(gate, []))
    await text_so_far(streams, "One ")  # the page was closed here
    gate.set()
    seen = [state async for state in streams.follow("c")]
    assert seen[-1] == Live("One two.", done=True)
    assert streams.get("c") is None
    assert [state async for state in streams.follow("c")] == [Live("", done=True)]


@pytest.mark.slow
async def test_a_stop_closes_the_generator_even_while_it_waits() -> None:
    streams, closed = Streams(), list[str]()
    await streams.start("c", lambda: fake_answer(asyncio.Event(), closed))
    await text_so_far(streams, "One ")
    await asyncio.wait_for(streams.stop("c"), 10)
    assert closed == ["closed"]


async def test_a_second_start_in_one_conversation_joins_the_first() -> None:
    streams, gate = Streams(), asyncio.Event()
    first = await streams.start("c", lambda: fake_answer(gate, []))
    assert await streams.start("c", lambda: fake_answer(gate, [])) is first
    gate.set()
    await first.done.wait()


async def test_what_is_refused_before_it_starts_is_kept_for_the_composer() -> None:
    async def refused() -> AsyncGenerator[Event]:
        raise TooLong(2000, 800)
        yield  # a generator, though it never yields

    stream = await Streams().start("c", refused)
    assert isinstance(stream.refused, TooLong)


async def test_a_failure_on_the_way_is_a_sentence() -> None:
    async def failing() -> AsyncGenerator[Event]:
        yield Started("q", "policy-0001", None)
        yield Failed("vLLM cannot be reached.")

    stream = await Streams().start("c", failing)
    await stream.done.wait()
    assert stream.failed == "vLLM cannot be reached."


async def test_while_an_answer_waits_for_its_turn_its_place_is_told_and_a_failure_ends_it_with_its_sentence() -> None:
    streams, moved, ended = Streams(), asyncio.Event(), asyncio.Event()

    async def waiting() -> AsyncGenerator[Event]:
        yield Started("q", "policy-0001", None)
        yield Waiting(3)
        await moved.wait()
        yield Waiting(0)
        await ended.wait()
        yield Failed("No place became free.")

    await streams.start("c", waiting)
    seen = []
    async for live in streams.follow("c"):
        seen.append(live)
        if live.place == 3:
            moved.set()
        if live.place == 0:
            ended.set()
    assert [live.place for live in seen if live.place is not None] == [3, 0]
    assert seen[-1] == Live("", failed="No place became free.", done=True)
