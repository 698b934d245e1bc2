"""The messages of a chat request as the model reads them and as they are recorded: one role and one text each.

What a chat template could read beside these would steer the answer and stand in no record, so it is not passed on:
a name, reasoning, fields of one model's own. Calls of tools are, because a conversation with tools makes no sense
without; the answer is then marked. Whether a model of ours said the assistant's turns is known to the store alone
(`store.conversations`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from feedback_app.domain.conversations import Speaker
from feedback_app.errors import UsageError
from feedback_app.store.tables import Excluded

ROLES = ("system", "developer", "user", "assistant", "tool")
TEXT_PARTS = ("text", "input_text", "output_text")
# What clients send back of an answer, or say about who speaks; nothing of it is read here.
DROPPED = frozenset({"annotations", "audio", "function_call", "name", "reasoning", "reasoning_content", "refusal"})
KNOWN = DROPPED | {"role", "content", "tool_calls", "tool_call_id"}


def read_messages(messages: Any) -> tuple[list[dict[str, Any]], dict[str, Excluded]]:
    """The messages, and why their answer may not be judged, by the field that says so. Raises `UsageError`."""
    if not isinstance(messages, list) or not messages or not all(isinstance(turn, dict) for turn in messages):
        raise UsageError("messages must be a list of at least one message, each an object with role and content.")
    found: dict[str, Excluded] = {}
    turns = []
    for place, message in enumerate(messages):
        turn = _read(f"messages[{place}]", message)
        if "tool_calls" in turn:
            found[f"messages[{place}].tool_calls"] = Excluded.HIDDEN_PROMPT
        turns.append(turn)
    if turns[-1]["role"] == Speaker.ASSISTANT:  # the model goes on after words that were put into its mouth
        found[f"messages[{len(turns) - 1}]"] = Excluded.PREFILLED
    return turns, found


def _read(where: str, message: Mapping[str, Any]) -> dict[str, Any]:
    said = {name: value for name, value in message.items() if value is not None}
    role = said.get("role")
    if role not in ROLES:
        raise UsageError(f"{where}.role must be one of: {', '.join(ROLES)}.")
    for name in said:
        if name not in KNOWN:
            raise UsageError(f"{where}.{name[:60]} is not a field that is taken here. Leave it out.")
    turn: dict[str, Any] = {"role": role, "content": _text(where, said.get("content"))}
    calls = said.get("tool_calls")
    if calls:
        if role != Speaker.ASSISTANT or not isinstance(calls, list) or not all(map(_is_call, calls)):
            raise UsageError(
                f"{where}.tool_calls must be a list of an assistant's calls, each with a function's name and arguments."
            )
        turn["tool_calls"] = calls
    if role == "tool" and "tool_call_id" in said:
        if not isinstance(said["tool_call_id"], str):
            raise UsageError(f"{where}.tool_call_id must be a text.")
        turn["tool_call_id"] = said["tool_call_id"]
    return turn


def _text(where: str, content: Any) -> str:
    """A content as one text: parts are joined by line breaks, as vLLM does it for templates that read texts."""
    if content is None or isinstance(content, str):
        return content or ""
    parts = content if isinstance(content, list) else [content]
    if not all(isinstance(part, str) or (isinstance(part, dict) and _is_text(part)) for part in parts):
        raise UsageError(f"{where}.content must be a text, or a list of parts of the type text: only text is read.")
    return "\n".join(part if isinstance(part, str) else part["text"] for part in parts)


def _is_text(part: Mapping[str, Any]) -> bool:
    return part.get("type", "text") in TEXT_PARTS and isinstance(part.get("text"), str)


def _is_call(call: Any) -> bool:
    function = call.get("function") if isinstance(call, dict) else None
    return (
        isinstance(function, dict)
        and isinstance(function.get("name"), str)
        and isinstance(function.get("arguments"), str)
    )
