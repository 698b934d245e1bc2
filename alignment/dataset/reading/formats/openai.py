"""OpenAI's fine-tuning forms: chat (demonstrations) and preference.

Both carry system messages, tools, tool calls and their results. In chat every assistant turn counts as a
demonstration unless its `weight` is 0: so the earlier turns, which the model itself wrote, are written with
weight 0, and of a file without weights every answer is read. Call ids are written anew.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from alignment.dataset.judgement import Message
from alignment.dataset.reading.feedback import (
    Feedback,
    Record,
    only,
    two,
)
from alignment.dataset.reading.turns import calls_of, tools_of


def write_chat(feedback: Feedback) -> Record:
    """One conversation whose last answer is worth imitating."""
    tools, prompt = tools_of(feedback.prompt)
    turns = _records([*prompt, Message("assistant", only(feedback).text)])
    for turn in turns[:-1]:
        if turn["role"] == "assistant":
            turn["weight"] = 0
    return {"messages": turns, **({"tools": tools} if tools else {})}


def write_preference(feedback: Feedback) -> Record:
    """One pair."""
    tools, prompt = tools_of(feedback.prompt)
    chosen, rejected = two(feedback)
    turns = _records(prompt)
    return {
        "input": {"messages": turns, "tools": tools, "parallel_tool_calls": True},
        "preferred_output": _records([Message("assistant", chosen)]),
        "non_preferred_output": _records([Message("assistant", rejected)]),
    }


def _records(turns: Sequence[Message]) -> list[Record]:
    """Messages with their calls as objects, and results tied to the calls before them by number."""
    found: list[Record] = []
    waiting: list[str] = []
    count = 0
    for turn in turns:
        called = calls_of(turn.content) if turn.role == "assistant" else None
        if called is not None:
            calls, content = called
            waiting = [f"call_{count + number}" for number in range(1, len(calls) + 1)]
            count += len(calls)
            found.append(
                {
                    "role": "assistant",
                    "content": content or None,
                    "tool_calls": [
                        {"id": id, "type": "function", "function": {"name": call["name"], "arguments": _written(call)}}
                        for id, call in zip(waiting, calls, strict=True)
                    ],
                }
            )
        elif turn.role == "tool":
            id = waiting.pop(0) if waiting else f"call_{count}"
            found.append({"role": "tool", "tool_call_id": id, "content": turn.content})
        else:
            found.append({"role": turn.role, "content": turn.content})
    return found


def _written(call: Record) -> str:
    """Arguments are JSON text there; a text that is not JSON goes as it came, any other as what it says."""
    arguments = call["arguments"]
    if isinstance(arguments, str):
        try:
            json.loads(arguments)
        except ValueError:
            return arguments
    return json.dumps(arguments, ensure_ascii=False)
