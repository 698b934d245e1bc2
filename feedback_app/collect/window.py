"""Which turns the model reads when a conversation is longer than its window.

The system prompt and the newest turns are kept. Pure but for the counting, which is given: only the model's
own tokenizer and chat template know how long messages are.

Before anything is counted, length is bounded by bytes: no token stands for more than `longest_token` bytes of text,
so text of more than `longest_token` times the window cannot fit, whatever the tokenizer makes of it. That is one
look at its size, and refuses a message, or leaves old turns out, that vLLM would read for seconds. (A tokenizer
that drops text, runs of spaces say, could fit more of it; nobody writes a window full of nothing.)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from feedback_app.domain.conversations import Speaker
from feedback_app.errors import TooLong
from serving.model_check import LONGEST_TOKEN

if TYPE_CHECKING:
    from feedback_app.settings import Settings
    from serving.model_check import ModelFacts

ChatMessage = dict[str, str]
Count = Callable[[list[ChatMessage]], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Reading:
    """What is sent: the messages, which turn is the first one read (0: all of them), and the prompt's tokens."""

    messages: list[ChatMessage]
    first: int
    tokens: int


def window_of(settings: Settings, facts: ModelFacts | None) -> int:
    """Prompt and answer together, tokens: the setting, at most what the model allows."""
    return min(settings.context_tokens, facts.max_len) if facts and facts.max_len else settings.context_tokens


def longest_token_of(facts: ModelFacts | None) -> int:
    """The most bytes of text that one token of this model can stand for."""
    return facts.longest_token if facts else LONGEST_TOKEN


def fewest_tokens(text: str, longest_token: int) -> int:
    """The tokens that a text has at least: its bytes over what one token can stand for."""
    return -(-len(text.encode(errors="surrogatepass")) // longest_token)


def check_length(text: str, longest_token: int, limit: int) -> None:
    """Raise `TooLong` when a text cannot fit into `limit` tokens. Measures bytes and asks nobody."""
    if (fewest := fewest_tokens(text, longest_token)) > limit:
        raise TooLong(fewest, limit, at_least=True)


async def fit(
    turns: Sequence[ChatMessage], system: str, count: Count, limit: int, longest_token: int = LONGEST_TOKEN
) -> Reading:
    """The longest run of newest turns that fits, with the system prompt, into `limit` tokens.

    The run begins with a user turn, because chat templates expect one there; the last turn is the one to
    answer and is always read. `count` must not fall when turns are added in front. Asks it about
    log2(turns) times, and never about text that cannot fit by its bytes. Raises `TooLong` when the last turn
    does not fit alone.
    """
    check_length(turns[-1]["content"], longest_token, limit)
    head = [{"role": Speaker.SYSTEM, "content": system}] if system else []
    reach = _reach(turns, longest_token, limit)
    starts = sorted({0, *(i for i, turn in enumerate(turns) if turn["role"] == Speaker.USER), len(turns) - 1})
    starts = [start for start in starts if start >= reach]
    tokens = {starts[0]: await count([*head, *turns[starts[0] :]])}
    if tokens[starts[0]] <= limit:
        return Reading([*head, *turns[starts[0] :]], starts[0], tokens[starts[0]])
    low, high = 0, len(starts) - 1  # starts[low] does not fit; starts[high] is only known to once it is asked
    if high > 0:
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


def _reach(turns: Sequence[ChatMessage], longest_token: int, limit: int) -> int:
    """The first turn from which on all turns could fit by their bytes; the last one at the latest."""
    first, tokens = len(turns) - 1, fewest_tokens(turns[-1]["content"], longest_token)
    while first > 0 and (tokens := tokens + fewest_tokens(turns[first - 1]["content"], longest_token)) <= limit:
        first -= 1
    return first
