"""LLaMA-Factory's records: alpaca and sharegpt, for preference, KTO and supervised tuning.

Written: sharegpt, whose `conversations`, `system` and `tools` carry every role; function calls and observations
have their own, several calls of one turn are a list. `dataset_info.json` beside the files names the columns.
Read: both, by their usual column names or by those that a `dataset_info.json` beside the file gives. Of a
supervised conversation the last answer is the demonstration and what came before is its context; LLaMA-Factory
itself learns every answer unless told `mask_history`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alignment.dataset.judgement import Message
from alignment.dataset.reading.feedback import (
    Feedback,
    Kind,
    Record,
    Skip,
    demonstration,
    mark,
    only,
    pair,
    two,
)
from alignment.dataset.reading.turns import (
    arguments_of,
    calls_of,
    calls_text,
    last_answer,
    tools_of,
    with_tools,
)

NAMES: Mapping[Kind, str] = {Kind.PAIR: "preference", Kind.MARK: "kto", Kind.DEMONSTRATION: "sft"}
_ROLES = {"user": "human", "assistant": "gpt", "tool": "observation", "system": "system"}
_TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
_OPENAI_TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "function_tag": "function_call",
    "system_tag": "system",
}


@dataclass(frozen=True, slots=True)
class Layout:
    """What the columns of a file are called. Empty `columns` means the usual names."""

    sharegpt: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def write_llama_factory(feedback: Feedback) -> Record:
    """One pair, mark or demonstration."""
    tools, prompt = tools_of(feedback.prompt)
    system = ""
    if prompt and prompt[0].role == "system" and prompt[0].content:
        system, prompt = prompt[0].content, prompt[1:]
    record: Record = {
        "conversations": [_turn(turn) for turn in prompt],
        "system": system,
        "tools": json.dumps(tools, ensure_ascii=False) if tools else "",
    }
    if len(feedback.answers) == 2:
        chosen, rejected = (_turn(Message("assistant", text)) for text in two(feedback))
        return record | {"chosen": chosen, "rejected": rejected}
    answer = only(feedback)
    record["conversations"].append(_turn(Message("assistant", answer.text)))
    return record if answer.good is None else record | {"kto_tag": answer.good}


def dataset_info(files: Mapping[str, Kind]) -> Record:
    """The content of `dataset_info.json` for files by name."""
    info: Record = {}
    for name, kind in files.items():
        columns = {"messages": "conversations", "system": "system", "tools": "tools"}
        more: dict[Kind, dict[str, str]] = {
            Kind.PAIR: {"chosen": "chosen", "rejected": "rejected"},
            Kind.MARK: {"kto_tag": "kto_tag"},
        }
        entry: Record = {"file_name": name, "formatting": "sharegpt", "columns": columns | more.get(kind, {})}
        if kind is Kind.PAIR:
            entry["ranking"] = True
        info["alignloop_" + name.partition(".")[0]] = entry
    return info


def layout_of(info: Any, file_name: str) -> Layout | None:
    """How `dataset_info.json` describes a file of this name, if it does."""
    for entry in info.values() if isinstance(info, Mapping) else ():
        if isinstance(entry, Mapping) and entry.get("file_name") == file_name:
            columns, tags = entry.get("columns") or {}, entry.get("tags") or {}
            if isinstance(columns, Mapping) and isinstance(tags, Mapping):
                return Layout(entry.get("formatting") == "sharegpt", dict(columns), dict(tags))
    return None


def is_llama_factory(record: Record) -> bool:
    """Whether a record has the usual columns of either style."""
    keys = set(record)
    return (
        "conversations" in keys
        or ("instruction" in keys and ("output" in keys or {"chosen", "rejected"} <= keys))
        or ("messages" in keys and keys & {"label", "kto_tag"} != set())
    )


def read_llama_factory(record: Record, layout: Layout | None = None) -> list[Feedback]:
    """One pair, mark or demonstration."""
    layout = layout or Layout()
    names = layout.columns
    sharegpt = layout.sharegpt or (not names and ("conversations" in record or "messages" in record))
    read = _Sharegpt(record, layout) if sharegpt else _Alpaca(record, layout)
    tag = names.get("kto_tag") or next((key for key in ("kto_tag", "label") if key in record and not names), None)
    chosen = names.get("chosen", "chosen" if not names else "")
    if chosen and chosen in record:
        return [pair(read.prompt(), read.answer(chosen), read.answer(names.get("rejected", "rejected")))]
    prompt, answer = read.whole()
    if tag:
        if not isinstance(record[tag], bool):
            raise Skip(f"{tag} is not true or false")
        return [mark(prompt, answer, record[tag])]
    return [demonstration(prompt, answer)]


class _Alpaca:
    """instruction and input, joined by a line break; output; system; history of question and answer."""

    def __init__(self, record: Record, layout: Layout) -> None:
        self._record, self._layout = record, layout

    def prompt(self) -> tuple[Message, ...]:
        asked = [self._text("prompt", "instruction"), self._text("query", "input")]
        turns = [Message("user", "\n".join(text for text in asked if text))]
        before: list[Message] = []
        for question, answer in self._get("history", "history") or []:
            before += [Message("user", str(question)), Message("assistant", str(answer))]
        system = self._text("system", "system")
        start = [Message("system", system)] if system else []
        return with_tools(self._get("tools", "tools"), [*start, *before, *turns])

    def answer(self, column: str) -> str:
        text = self._record[column]
        if not isinstance(text, str):
            raise Skip("an answer without a text")
        return text

    def whole(self) -> tuple[tuple[Message, ...], str]:
        return self.prompt(), self.answer(self._layout.columns.get("response", "output"))

    def _get(self, column: str, usual: str) -> Any:
        names = self._layout.columns
        return self._record.get(names.get(column, "" if names and column in ("history", "system", "tools") else usual))

    def _text(self, column: str, usual: str) -> str:
        text = self._get(column, usual)
        if text is not None and not isinstance(text, str):
            raise Skip("a message that is not text")
        return text or ""


class _Sharegpt:
    """A list of turns, with `system` and `tools` beside it."""

    def __init__(self, record: Record, layout: Layout) -> None:
        self._record, self._names = record, layout.columns
        usual = "conversations" if "conversations" in record else "messages"
        self._column = self._names.get("messages", usual)
        plain = _OPENAI_TAGS if self._column == "messages" and not layout.tags else _TAGS
        self._tags = {**plain, **layout.tags}

    def prompt(self) -> tuple[Message, ...]:
        return self._before(self._turns())

    def answer(self, column: str) -> str:
        return self._turn(self._record[column]).content

    def whole(self) -> tuple[tuple[Message, ...], str]:
        before, answer = last_answer(self._turns())
        return self._before(before), answer

    def _turns(self) -> list[Message]:
        return [self._turn(entry) for entry in self._record[self._column]]

    def _before(self, turns: Sequence[Message]) -> tuple[Message, ...]:
        system = self._record.get(self._names.get("system", "system"))
        start = [Message("system", system)] if isinstance(system, str) and system else []
        return with_tools(self._record.get(self._names.get("tools", "tools")), [*start, *turns])

    def _turn(self, entry: Any) -> Message:
        tags = self._tags
        role, text = entry[tags["role_tag"]], entry[tags["content_tag"]]
        if not isinstance(text, str):
            raise Skip("a message that is not text")
        if role == tags["function_tag"]:
            return Message("assistant", calls_text(_calls(text)))
        roles = {tags["user_tag"]: "user", tags["assistant_tag"]: "assistant"}
        roles |= {tags["observation_tag"]: "tool", tags["system_tag"]: "system"}
        if role not in roles:
            raise Skip("a message of an unknown role")
        return Message(roles[role], text)


def _turn(turn: Message) -> Record:
    called = calls_of(turn.content) if turn.role == "assistant" else None
    if called is not None and not called[1]:
        calls = called[0] if len(called[0]) > 1 else called[0][0]
        return {"from": "function_call", "value": json.dumps(calls, ensure_ascii=False)}
    return {"from": _ROLES[turn.role], "value": turn.content}


def _calls(text: str) -> list[Record]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise Skip("a function call that is not JSON") from error
    calls = found if isinstance(found, list) else [found]
    if not calls or not all(isinstance(call, Mapping) and isinstance(call.get("name"), str) for call in calls):
        raise Skip("a tool call without a name")
    return [{"name": call["name"], "arguments": arguments_of(call.get("arguments"))} for call in calls]
