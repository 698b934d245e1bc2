"""What a stream of vLLM said, read from the bytes that pass by.

The bytes go on as they are, in whole events. Reading them is put off until the stream has ended, so that a
token costs no JSON. One event may be held back: the token counts at the end, when the client did not ask
for them and only we did.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from serving.client import SseLines

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool by the model; `arguments` are the text that it wrote, JSON as a rule."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer: its text, and vLLM's reason for ending (None when it had not ended).

    `stop_string` is the string that the client named and that cut the answer, None where the model ended it.
    `calls` are what the model called in place of, or beside, saying something.
    """

    text: str
    finish_reason: str | None
    stop_string: str | None = None
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """Everything that was said; token counts are vLLM's own, or counted from the pieces of a stream cut off."""

    choices: tuple[Choice, ...]
    prompt_tokens: int
    completion_tokens: int


@dataclass(slots=True)
class Transcript:
    """Passes a stream's bytes on and remembers them. `hide_usage` holds back the event of token counts.

    `first_s` is when the first event had come, seconds of `clock`.
    """

    hide_usage: bool = False
    clock: Callable[[], float] = time.monotonic
    first_s: float | None = None
    _events: list[bytes] = field(default_factory=list)
    _rest: bytes = b""

    def feed(self, chunk: bytes) -> bytes:
        """The bytes to pass on now: every event that is complete."""
        data = self._rest + chunk if self._rest else chunk
        end = data.rfind(b"\n\n") + 2
        if end == 1:
            self._rest = data
            return b""
        events, self._rest = data[:end], data[end:]
        if self.first_s is None:
            self.first_s = self.clock()
        self._events.append(events)
        # Quotes inside an answer are escaped in JSON, so an answer cannot look like this.
        if self.hide_usage and b'"choices":[]' in events.replace(b" ", b""):
            return b"".join(event + b"\n\n" for event in events.split(b"\n\n")[:-1] if not _only_usage(event))
        return events

    def rest(self) -> bytes:
        """What came after the last complete event, to be passed on when the stream has ended."""
        rest, self._rest = self._rest, b""
        return rest

    def said(self) -> Said:
        """The choices and token counts of everything that was fed so far."""
        texts: dict[int, list[str]] = {}
        reasons: dict[int, str] = {}
        cut: dict[int, str | None] = {}
        calls: dict[int, dict[int, list[str]]] = {}
        usage: Mapping[str, Any] = {}
        pieces = 0
        for event in SseLines().feed(b"".join(self._events)):
            usage = event.get("usage") or usage
            for choice in event.get("choices") or ():
                index, delta = int(choice.get("index") or 0), choice.get("delta") or {}
                text = delta.get("content") or ""
                pieces += bool(text)
                texts.setdefault(index, []).append(text)
                _add_calls(calls.setdefault(index, {}), delta.get("tool_calls") or ())
                if choice.get("finish_reason"):
                    reasons[index] = str(choice["finish_reason"])
                    cut[index] = _stop_string(choice)
        return Said(
            tuple(
                Choice("".join(texts[index]), reasons.get(index), cut.get(index), _whole(calls[index]))
                for index in sorted(texts)
            ),
            int(usage.get("prompt_tokens") or 0),
            int(usage.get("completion_tokens") or pieces),
        )


def read_reply(raw: bytes) -> Said:
    """The same of an answer that came in one piece. Raises `ValueError` when it is not a chat completion."""
    reply = json.loads(raw)
    usage = reply.get("usage") or {}
    try:
        choices = sorted(reply["choices"], key=lambda choice: int(choice.get("index") or 0))
        found = tuple(
            Choice(
                choice["message"].get("content") or "",
                choice.get("finish_reason"),
                _stop_string(choice),
                _calls(choice["message"].get("tool_calls") or ()),
            )
            for choice in choices
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not a chat completion") from error
    return Said(found, int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0))


def _calls(calls: Sequence[Mapping[str, Any]]) -> tuple[ToolCall, ...]:
    pieces: dict[int, list[str]] = {}
    _add_calls(pieces, [{**call, "index": place} for place, call in enumerate(calls)])
    return _whole(pieces)


def _add_calls(pieces: dict[int, list[str]], calls: Iterable[Mapping[str, Any]]) -> None:
    """Add what these events say of calls, by their places: the name first, then pieces of the arguments."""
    for call in calls:
        function = call.get("function") or {}
        piece = pieces.setdefault(int(call.get("index") or 0), [""])
        piece[0] = piece[0] or function.get("name") or ""
        piece.append(function.get("arguments") or "")


def _whole(pieces: Mapping[int, Sequence[str]]) -> tuple[ToolCall, ...]:
    return tuple(ToolCall(pieces[place][0], "".join(pieces[place][1:])) for place in sorted(pieces))


def _stop_string(choice: Mapping[str, Any]) -> str | None:
    """vLLM names the string that cut an answer, or the number of a token that ends answers of this model anyway."""
    reason = choice.get("stop_reason")
    return reason if isinstance(reason, str) else None


def _only_usage(event: bytes) -> bool:
    return any(not value.get("choices", True) and value.get("usage") for value in SseLines().feed(event + b"\n"))
