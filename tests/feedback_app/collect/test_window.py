"""What the model reads of a long conversation: the system prompt and the newest turns that fit."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback_app.collect.window import ChatMessage, Reading, fit
from feedback_app.errors import TooLong

SYSTEM = "one two three"


async def count(messages: list[ChatMessage]) -> int:
    """A token is a word; a message costs two more and the answer's opening one."""
    return 1 + sum(len(message["content"].split()) + 2 for message in messages)


def turns_of(lengths: list[int]) -> list[ChatMessage]:
    """A conversation with messages of these many words, ending with the user's."""
    roles = ["user" if (len(lengths) - 1 - place) % 2 == 0 else "assistant" for place in range(len(lengths))]
    return [{"role": role, "content": "word " * length} for role, length in zip(roles, lengths, strict=True)]


def read(turns: list[ChatMessage], system: str, limit: int) -> Reading:
    return asyncio.run(fit(turns, system, count, limit))


conversations = st.lists(st.integers(0, 12), min_size=1, max_size=15).map(turns_of)


@given(turns=conversations, system=st.sampled_from(["", SYSTEM]), limit=st.integers(1, 150))
def test_the_window_is_the_longest_run_of_newest_turns_that_fits(
    turns: list[ChatMessage], system: str, limit: int
) -> None:
    head = [{"role": "system", "content": system}] if system else []

    def tokens(first: int) -> int:
        return asyncio.run(count([*head, *turns[first:]]))

    starts = [i for i, turn in enumerate(turns) if i == 0 or turn["role"] == "user"]
    fitting = [start for start in starts if tokens(start) <= limit]
    if not fitting:
        with pytest.raises(TooLong):
            read(turns, system, limit)
        return
    reading = read(turns, system, limit)
    assert reading.first == min(fitting)
    assert reading.tokens == tokens(reading.first) <= limit
    assert reading.messages == [*head, *turns[reading.first :]]
    assert reading.messages[-1] == turns[-1]


def test_a_message_that_is_too_long_alone_is_refused_with_its_count() -> None:
    turns = turns_of([2, 2, 40])
    with pytest.raises(TooLong) as refused:
        read(turns, SYSTEM, 30)
    assert refused.value.tokens == 43
    assert refused.value.limit == 25  # the system prompt takes five
    assert "43 tokens" in str(refused.value)


def test_a_short_conversation_is_counted_once() -> None:
    asked = []

    async def counting(messages: list[ChatMessage]) -> int:
        asked.append(len(messages))
        return await count(messages)

    asyncio.run(fit(turns_of([3] * 41), "", counting, 10_000))
    assert asked == [41]
    asked.clear()
    asyncio.run(fit(turns_of([3] * 401), "", counting, 60))
    assert len(asked) <= 11
