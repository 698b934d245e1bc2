"""LLaMA-Factory's records: alpaca and sharegpt, for preference, KTO and supervised tuning.

Written: sharegpt, whose `conversations`, `system` and `tools` carry every role; function calls and observations
have their own, several calls of one turn are a list. `dataset_info.json` beside the files names the columns; what it
names otherwise is read under the usual names. Of a supervised conversation the last answer is the demonstration and
what came before is its context; LLaMA-Factory itself learns every answer unless told `mask_history`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from alignment.dataset.judgement import Message
from alignment.dataset.reading.detect import reader
from alignment.dataset.reading.feedback import Feedback, Kind, Record, only, two
from alignment.dataset.reading.turns import calls_of, tools_of

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
_USUAL = {
    "user": "human",
    "assistant": "gpt",
    "observation": "observation",
    "function": "function_call",
    "system": "system",
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


def read_llama_factory(record: Record, layout: Layout | None = None) -> list[Feedback]:
    """One pair, mark or demonstration."""
    return reader("llama-factory")(record if layout is None else renamed(record, layout))


def renamed(record: Record, layout: Layout) -> Record:
    """The record with the usual names for its columns, roles and tags, and without columns that nobody named."""
    names = layout.columns
    plain = layout.sharegpt
    usual = (
        {"messages": "conversations"} if plain else {"prompt": "instruction", "query": "input", "response": "output"}
    )
    columns = {column: names.get(column, name) for column, name in usual.items()}
    columns |= {column: name for column, name in names.items() if column not in columns}
    found = {usual.get(column, column): record[name] for column, name in columns.items() if name in record}
    if plain:
        for column in ("conversations", "chosen", "rejected"):
            found[column] = _standard(found.get(column), {**_TAGS, **layout.tags})
    return {column: value for column, value in found.items() if value is not None}


def _standard(value: Any, tags: Mapping[str, str]) -> Any:
    """Turns under the usual names of role and content."""
    if isinstance(value, list):
        return [_standard(each, tags) for each in value]
    if not isinstance(value, Mapping):
        return value
    roles = {tags[f"{role}_tag"]: usual for role, usual in _USUAL.items()}
    role = value.get(tags["role_tag"])
    return {"from": roles.get(str(role), role), "value": value.get(tags["content_tag"])}


def _turn(turn: Message) -> Record:
    called = calls_of(turn.content) if turn.role == "assistant" else None
    if called is not None and not called[1]:
        calls = called[0] if len(called[0]) > 1 else called[0][0]
        return {"from": "function_call", "value": json.dumps(calls, ensure_ascii=False)}
    return {"from": _ROLES[turn.role], "value": turn.content}
