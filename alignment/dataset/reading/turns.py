"""Messages of a conversation, and the tool calls among them.

A message of ours is a role and a text. What tools need beyond that is kept in the text as JSON: a first
system message `{"tools": […]}`, and an assistant's `{"tool_calls": [{"name", "arguments"}]}` (with `content`
when it also said something). Formats that have places for these (OpenAI's, LLaMA-Factory's) get them there
and give them back; in all others the JSON stays text. Call ids are numbered anew: they only tie a result to
its call, which its place does too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from alignment.dataset.judgement import Message
from alignment.dataset.reading.feedback import Record, Skip


def records(messages: Sequence[Message]) -> list[Record]:
    """Role and content, as most formats write them."""
    return [{"role": message.role, "content": message.content} for message in messages]


def last_answer(turns: Sequence[Message]) -> tuple[tuple[Message, ...], str]:
    """What came before the last answer, and that answer. Raises `Skip` when the last turn is none."""
    if not turns or turns[-1].role != "assistant":
        raise Skip("does not end in an answer")
    return tuple(turns[:-1]), turns[-1].content


# --- tools ---------------------------------------------------------------------------------------------


def calls_text(calls: Sequence[Record], content: str = "") -> str:
    """Tool calls as the text of an assistant's message; each has `name` and `arguments`."""
    said = {"content": content} if content else {}
    listed = [{"name": call["name"], "arguments": call["arguments"]} for call in calls]
    return json.dumps({**said, "tool_calls": listed}, ensure_ascii=False)


def calls_of(text: str) -> tuple[list[Record], str] | None:
    """The calls in a text that `calls_text` could have written, and what was said beside them."""
    found = _object(text, "tool_calls")
    if found is None or set(found) - {"tool_calls", "content"}:
        return None
    calls, content = found["tool_calls"], found.get("content", "")
    good = (
        isinstance(calls, list)
        and calls
        and all(isinstance(c, dict) and set(c) == {"name", "arguments"} for c in calls)
    )
    if not good or not all(isinstance(call["name"], str) for call in calls) or not isinstance(content, str):
        return None
    return (calls, content) if calls_text(calls, content) == text else None


def tools_text(tools: Sequence[Any]) -> str:
    """Tool definitions as the text of a system message."""
    return json.dumps({"tools": list(tools)}, ensure_ascii=False)


def tools_of(turns: Sequence[Message]) -> tuple[list[Any], tuple[Message, ...]]:
    """The tool definitions that a conversation begins with, and the conversation after them."""
    if turns and turns[0].role == "system":
        found = _object(turns[0].content, "tools")
        tools = found["tools"] if found is not None and set(found) == {"tools"} else None
        if isinstance(tools, list) and tools and tools_text(tools) == turns[0].content:
            return tools, tuple(turns[1:])
    return [], tuple(turns)


def with_tools(tools: Any, turns: Sequence[Message]) -> tuple[Message, ...]:
    """The conversation with its tool definitions in front. `tools` may be JSON text. Raises `Skip`."""
    if isinstance(tools, str):
        try:
            tools = json.loads(tools) if tools.strip() else []
        except ValueError as error:
            raise Skip("tools are not JSON") from error
    if not tools:
        return tuple(turns)
    if not isinstance(tools, list):
        raise Skip("tools are not a list")
    return (Message("system", tools_text(tools)), *turns)


def _object(text: str, key: str) -> Record | None:
    if not text.startswith("{") or f'"{key}"' not in text:
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) and key in found else None


def call_of(call: Any) -> Record:
    """A tool call as its name and arguments. Raises `Skip`."""
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise Skip("a tool call without a name")
    return {"name": function["name"], "arguments": arguments_of(function.get("arguments"))}


def arguments_of(value: Any) -> Any:
    """A call's arguments: JSON text as what it says, where writing it again gives the same meaning."""
    if not isinstance(value, str):
        return value if value is not None else {}
    try:
        return json.loads(value)
    except ValueError:
        return value
