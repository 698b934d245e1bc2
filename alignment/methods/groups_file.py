"""Ranked groups of a dataset folder: `groups.jsonl`, where there is one.

A line is {"prompt", "groups", "weight", "judgements", "split"}; `groups` lists tie-groups, the best first,
each a list of completions (text or messages). Folders without the file simply have no groups.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignment.errors import SnapshotProblem
from alignment.judgement import Message


@dataclass(frozen=True, slots=True)
class RankedGroup:
    """Answers to one prompt as tie-groups, the best first; at least two answers in all."""

    prompt: tuple[Message, ...]
    groups: tuple[tuple[str, ...], ...]
    weight: float
    judgements: tuple[str, ...]
    split: str = "train"


def read_groups(folder: Path) -> list[RankedGroup]:
    """The ranked groups of a dataset folder. Raises `SnapshotProblem` naming the line that is not one."""
    path = folder / "groups.jsonl"
    if not path.is_file():
        return []
    rows: list[RankedGroup] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            groups = tuple(tuple(_text(answer) for answer in group) for group in record["groups"] if group)
            prompt = _messages(record["prompt"])
        except (ValueError, KeyError, TypeError) as error:
            raise SnapshotProblem(
                f"{path}, line {number} is no ranked group: it needs prompt and groups (lists of answers, best first)."
            ) from error
        if sum(map(len, groups)) >= 2:
            rows.append(
                RankedGroup(
                    prompt,
                    groups,
                    float(record.get("weight", 1.0)),
                    tuple(record.get("judgements", ())),
                    record.get("split", "train"),
                )
            )
    return rows


def _messages(value: Any) -> tuple[Message, ...]:
    if isinstance(value, str):
        return (Message("user", value),)
    return tuple(Message(str(turn["role"]), str(turn["content"])) for turn in value)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return str(value["content"])
    return "".join(str(turn["content"]) for turn in value)
