"""Which turns the model reads when a conversation is longer than its window.

The system prompt and the newest turns are kept. Pure but for the counting, which is given: only the model's
own tokenizer and chat template know how long messages are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from feedback_app.errors import TooLong

ChatMessage = dict[str, str]
Count = Callable[[list[ChatMessage]], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Reading:
    """What is sent: the messages, which turn is the first one read (0: all of them), and the prompt's tokens."""

    messages: list[ChatMessage]
    first: int
    tokens: int


async def fit(turns: Sequence[ChatMessage], system: str, count: Count, limit: int) -> Reading:
    """The longest run of newest turns that fits, with the system prompt, into `limit` tokens.

    The run begins with a user turn, because chat templates expect one there; the last turn is the one to
    answer and is always read. `count` must not fall when turns are added in front. Asks it about
    log2(turns) times. Raises `TooLong` when the last turn does not fit alone.
    """
    head = [{"role": "system", "content": system}] if system else []
    starts = sorted({0, *(i for i, turn in enumerate(turns) if turn["role"] == "user"), len(turns) - 1})
    tokens = {0: await count([*head, *turns])}
    if tokens[0] <= limit:
        return Reading([*head, *turns], 0, tokens[0])
    low, high = 0, len(starts) - 1  # starts[low] does not fit; starts[high] is only known to once it is asked
    tokens[starts[high]] = await count([*head, *turns[starts[high] :]])
    if tokens[starts[high]] > limit:
        alone = await count([turns[-1]]) if head else tokens[starts[high]]
        raise TooLong(alone, limit - (tokens[starts[high]] - alone))
    while high - low > 1:
        middle = (low + high) // 2
        tokens[starts[middle]] = await count([*head, *turns[starts[middle] :]])
        low, high = (middle, high) if tokens[starts[middle]] > limit else (low, middle)
    first = starts[high]
    return Reading([*head, *turns[first:]], first, tokens[first])
