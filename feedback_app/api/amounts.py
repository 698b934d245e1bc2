"""How much a request at the door may ask for, and what it weighs. Which fields it may have is not decided here.

Everything is measured before vLLM is asked for anything: text by its bytes (see `collect.window`), the rest by
plain bounds. `max_tokens` above the window is set to the window, which is what vLLM makes of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from feedback_app.collect.admission import Load
from feedback_app.collect.window import fewest_tokens
from feedback_app.errors import TooLong, UsageError

MOST_CHOICES = 16
MOST_STOPS = 16
LONGEST_STOP = 256  # characters
MOST_LOGPROBS = 20  # vLLM's own default and OpenAI's bound
MOST_BIASES = 1024
LIMITS = ("max_tokens", "max_completion_tokens")
TYPICAL_BYTES = 3  # of a token; only to weigh a prompt, never to refuse one


def measured(asked: Mapping[str, Any], window: int, longest_token: int, size: int) -> tuple[dict[str, Any], Load]:
    """The request with its amounts capped, and its load; `window` in tokens, `size` in bytes.

    Raises `TooLong` for messages that no tokenizer could fit into the window and `UsageError` that names the
    amount which is out of bounds.
    """
    request = dict(asked)
    for name in LIMITS:
        if request.get(name) is not None:
            request[name] = min(window, _whole(request, name, 1))
    # As vLLM reads them: where both are given, the newer name's counts.
    longest = next((request[name] for name in reversed(LIMITS) if request.get(name) is not None), window)
    if request.get("min_tokens") is not None:
        _whole(request, "min_tokens", 0, longest)
    n = 1 if request.get("n") is None else _whole(request, "n", 1, MOST_CHOICES)
    for name in ("top_logprobs", "logprobs"):  # in chat, logprobs is yes or no
        if request.get(name) is not None and not isinstance(request[name], bool):
            _whole(request, name, 0, MOST_LOGPROBS)
    _check_stops(request)
    bias = request.get("logit_bias")
    if bias is not None and (not isinstance(bias, Mapping) or len(bias) > MOST_BIASES):
        raise UsageError(f"logit_bias must be an object with at most {MOST_BIASES} tokens.")
    prompt = _prompt_tokens(request["messages"], window, longest_token)
    return request, Load(prompt, min(longest, window - prompt) or 1, n, size)


def _whole(request: Mapping[str, Any], name: str, least: int, most: int | None = None) -> int:
    value = request[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < least or (most is not None and value > most):
        raise UsageError(f"{name} must be a whole number from {least}{'' if most is None else f' to {most}'}.")
    return value


def _check_stops(request: Mapping[str, Any]) -> None:
    for name in ("stop", "stop_token_ids"):
        stops = request.get(name)
        if stops is None or isinstance(stops, str):
            stops = [stops or ""]
        if not isinstance(stops, list) or len(stops) > MOST_STOPS:
            raise UsageError(f"{name} may name at most {MOST_STOPS} endings.")
        if any(isinstance(stop, str) and len(stop) > LONGEST_STOP for stop in stops):
            raise UsageError(f"An ending in {name} may have at most {LONGEST_STOP} characters.")


def _prompt_tokens(messages: Sequence[Mapping[str, Any]], window: int, longest_token: int) -> int:
    """About how many tokens the messages are, below the window. Raises `TooLong` when they cannot fit."""
    fewest = size = 0
    for text in _texts(messages):
        # Each message or part costs a token at least: the chat template marks where one ends.
        fewest += max(1, fewest_tokens(text, longest_token))
        size += len(text.encode(errors="surrogatepass"))
    if fewest > window:
        raise TooLong(fewest, window, at_least=True)
    return min(window - 1, len(messages) + size // TYPICAL_BYTES)


def _texts(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for message in messages:
        content = message.get("content")
        for part in content if isinstance(content, list) else (content,):
            text = part.get("text") if isinstance(part, Mapping) else part
            yield text if isinstance(text, str) else ""
