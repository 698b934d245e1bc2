"""File formats of feedback, both ways: our rows to their records, their records to plain ones.

Pure: values in, values out. Reading knows three shapes, a preference, a mark and a demonstration; what a
record holds beyond them is dropped and counted by whoever reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alignment.compile import Compiled
from alignment.judgement import Message
from alignment.rows import PairRow, to_record
from feedback_app.errors import UsageError

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Imported:
    """One record that was read: a preference (`chosen`, `rejected`), or a mark (`completion`, `label`)."""

    prompt: tuple[Message, ...]
    chosen: str = ""
    rejected: str = ""
    completion: str = ""
    label: bool | None = None


class Skip(Exception):
    """A record that cannot become a judgement; the message is the reason that is counted."""


# --- writing -------------------------------------------------------------------------------------------


def write_trl(rows: Compiled) -> Iterator[tuple[str, Record]]:
    """TRL's conversational preference form."""
    for row in rows.pairs:
        yield row.split, {key: to_record(row)[key] for key in ("prompt", "chosen", "rejected")}


def write_trl_unpaired(rows: Compiled) -> Iterator[tuple[str, Record]]:
    """TRL's unpaired form: one completion and whether it was good."""
    for row in rows.marks:
        yield row.split, {key: to_record(row)[key] for key in ("prompt", "completion", "label")}


def write_openai_chat(rows: Compiled) -> Iterator[tuple[str, Record]]:
    """OpenAI's fine-tuning form: whole conversations worth imitating."""
    for row in rows.sft:
        record = to_record(row)
        yield row.split, {"messages": record["prompt"] + record["completion"]}


def write_openai_preference(rows: Compiled) -> Iterator[tuple[str, Record]]:
    """OpenAI's preference form."""
    for row in rows.pairs:
        record = to_record(row)
        yield (
            row.split,
            {
                "input": {"messages": record["prompt"], "tools": [], "parallel_tool_calls": True},
                "preferred_output": record["chosen"],
                "non_preferred_output": record["rejected"],
            },
        )


def write_hh(rows: Compiled) -> Iterator[tuple[str, Record]]:
    """The form of Anthropic's helpful and harmless data: two whole dialogues as text."""
    for row in rows.pairs:
        yield row.split, {"chosen": _dialogue(row, row.chosen), "rejected": _dialogue(row, row.rejected)}


def _dialogue(row: PairRow, answer: str) -> str:
    turns = [*((message.role, message.content) for message in row.prompt), ("assistant", answer)]
    return "".join(f"\n\n{'Assistant' if role == 'assistant' else 'Human'}: {content}" for role, content in turns)


def write_csv(rows: Compiled) -> Iterator[tuple[str, Record]]:
    """One pair a line, for spreadsheets: the last user turn, both answers, weight, origin, judgements."""
    for row in rows.pairs:
        yield (
            row.split,
            {
                "prompt": row.prompt[-1].content if row.prompt else "",
                "chosen": row.chosen,
                "rejected": row.rejected,
                "weight": row.weight,
                "origin": row.origin,
                "judgements": " ".join(row.judgements),
            },
        )


WRITERS: Mapping[str, Callable[[Compiled], Iterator[tuple[str, Record]]]] = {
    "trl": write_trl,
    "trl-unpaired": write_trl_unpaired,
    "openai-chat": write_openai_chat,
    "openai-preference": write_openai_preference,
    "hh": write_hh,
    "csv": write_csv,
}


# --- reading -------------------------------------------------------------------------------------------


def read_trl(record: Record) -> Imported:
    """TRL's preference form, plain text or conversational."""
    prompt, chosen = _split(record.get("prompt"), record["chosen"])
    _, rejected = _split(record.get("prompt"), record["rejected"])
    return Imported(prompt, chosen=chosen, rejected=rejected)


def read_trl_unpaired(record: Record) -> Imported:
    """TRL's unpaired form."""
    if not isinstance(record["label"], bool):
        raise Skip("label is not true or false")
    prompt, completion = _split(record["prompt"], record["completion"])
    return Imported(prompt, completion=completion, label=record["label"])


def read_openai_preference(record: Record) -> Imported:
    """OpenAI's preference form."""
    prompt, chosen = _split(record["input"]["messages"], record["preferred_output"])
    _, rejected = _split(record["input"]["messages"], record["non_preferred_output"])
    return Imported(prompt, chosen=chosen, rejected=rejected)


def read_hh(record: Record) -> Imported:
    """Two dialogues that share all but the last answer."""
    chosen, rejected = _turns(record["chosen"]), _turns(record["rejected"])
    if not chosen or not rejected or chosen[-1].role != "assistant" or rejected[-1].role != "assistant":
        raise Skip("does not end in an answer")
    if chosen[:-1] != rejected[:-1]:
        raise Skip("the two dialogues differ before the last answer")
    return Imported(tuple(chosen[:-1]), chosen=chosen[-1].content, rejected=rejected[-1].content)


READERS: Mapping[str, Callable[[Record], Imported]] = {
    "trl": read_trl,
    "trl-unpaired": read_trl_unpaired,
    "openai-preference": read_openai_preference,
    "hh": read_hh,
}


def detect(record: Record) -> str:
    """The format of a file by its first record. Raises `UsageError` when it is none that can be read."""
    keys = set(record)
    if {"input", "preferred_output", "non_preferred_output"} <= keys:
        return "openai-preference"
    if {"prompt", "completion", "label"} <= keys:
        return "trl-unpaired"
    if {"chosen", "rejected"} <= keys:
        text = record["chosen"]
        return "hh" if isinstance(text, str) and "prompt" not in keys and "\n\nHuman:" in text else "trl"
    raise UsageError(
        f"The format of this file cannot be told from its keys ({', '.join(sorted(keys)) or 'none'}). "
        f"Name it with --format: {', '.join(READERS)}."
    )


def checked(imported: Imported) -> Imported:
    """The record, when a judgement can be made of it. Raises `Skip` with the reason."""
    if not imported.prompt or imported.prompt[-1].role != "user":
        raise Skip("no question before the answer")
    if imported.label is not None:
        if not imported.completion.strip():
            raise Skip("empty answer")
        return imported
    if not imported.chosen.strip() or not imported.rejected.strip():
        raise Skip("empty answer")
    if imported.chosen.strip() == imported.rejected.strip():
        raise Skip("both answers are the same")
    return imported


def parse_line(line: str, number: int, name: str) -> Record:
    """One line of JSONL. Raises `UsageError` naming file and line."""
    try:
        record = json.loads(line)
    except ValueError as error:
        raise UsageError(
            f"{name}, line {number}, is not JSON ({error}). The file must be JSONL: one JSON object a line."
        ) from error
    if not isinstance(record, dict):
        raise UsageError(f"{name}, line {number}, is not a JSON object. The file must be JSONL: one object a line.")
    return record


def _split(prompt: Any, answer: Any) -> tuple[tuple[Message, ...], str]:
    """Prompt and answer; an answer that carries the whole conversation is cut before its last turn."""
    before = _messages(prompt, "user") if prompt else []
    after = _messages(answer, "assistant")
    if not after or after[-1].role != "assistant":
        raise Skip("does not end in an answer")
    return tuple(before + after[:-1]), after[-1].content


def _messages(value: Any, role: str) -> list[Message]:
    if isinstance(value, str):
        return [Message(role, value)]
    if not isinstance(value, Sequence):
        raise Skip("not a list of messages")
    found = []
    for message in value:
        content = message.get("content") if isinstance(message, Mapping) else None
        if not isinstance(content, str) or message.get("role") not in ("system", "user", "assistant"):
            raise Skip("a message that is not text")
        found.append(Message(message["role"], content))
    return found


_TURN = re.compile(r"\n\n(Human|Assistant): ?")


def _turns(text: Any) -> list[Message]:
    if not isinstance(text, str):
        raise Skip("not a dialogue")
    pieces = _TURN.split(text)[1:]
    return [
        Message("user" if pieces[i] == "Human" else "assistant", pieces[i + 1].strip())
        for i in range(0, len(pieces), 2)
    ]
