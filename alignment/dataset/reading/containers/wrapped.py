"""The rows of one JSON object that is a whole file: columns, the hub's viewer, or a list beside what describes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CUT = "a row of which only a part is in this file"
_MESSAGE = ({"role", "content"}, {"from", "value"}, {"role", "parts"}, {"role", "tool_calls"})
# An object that asks something is one record, and its list of objects are messages, answers or ratings.
_ONE_RECORD = {
    *("prompt", "question", "instruction", "input", "query", "context", "history", "messages", "conversations"),
    *("conversation", "fields", "annotations", "responses", "completions", "answers", "turns", "mapping", "chat"),
    *("chosen", "rejected", "context_messages", "chosen_messages", "rejected_messages", "candidates", "choices"),
    *("states", "state", "replies"),
}


def rows_of(value: Any) -> list[Any] | None:
    """The rows that one object holds, or None where it is a record itself.

    Columns are what pandas writes with `orient` "list", "columns", "split" or "index" and `datasets` with `to_dict`.
    """
    if not isinstance(value, Mapping) or not value:
        return None
    for found in (_viewed(value), _split(value), _columns(value), _numbered(value)):
        if found is not None:
            return found
    if _ONE_RECORD & {str(key).lower() for key in value}:
        return None
    lists = [each for each in value.values() if isinstance(each, list) and _objects(each)]
    if len(lists) != 1 or _messages(lists[0]):
        return None
    return lists[0]


def _objects(values: list[Any]) -> bool:
    return bool(values) and all(isinstance(each, dict) for each in values)


def _messages(values: list[Any]) -> bool:
    return _objects(values) and all(any(keys <= set(each) for keys in _MESSAGE) for each in values)


def _viewed(value: Mapping[str, Any]) -> list[Any] | None:
    """`{"rows": [{"row": {...}, "truncated_cells": []}]}`; a row whose cells the viewer cut short is `CUT`."""
    rows = value.get("rows")
    if not isinstance(rows, list) or not _objects(rows) or not all(isinstance(row.get("row"), dict) for row in rows):
        return None
    return [CUT if row.get("truncated_cells") else row["row"] for row in rows]


def _columns(value: Mapping[str, Any]) -> list[Any] | None:
    """Lists of the same length side by side; a list of messages is a conversation, and its object a record."""
    columns = list(value.values())
    if len(columns) < 2 or not all(isinstance(each, list) and each and not _messages(each) for each in columns):
        return None
    if len({len(each) for each in columns}) != 1:
        return None
    return [dict(zip(value, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _numbered(value: Mapping[str, Any]) -> list[Any] | None:
    """Objects with the rows' numbers as keys, by column or by row."""
    columns = list(value.values())
    if not all(isinstance(each, dict) and each for each in columns):
        return None
    if all(key.isdigit() for key in value):
        return columns
    keys = list(columns[0])
    if all(key.isdigit() for key in keys) and all(list(each) == keys for each in columns):
        return [{name: column[key] for name, column in value.items()} for key in keys]
    return None


def _split(value: Mapping[str, Any]) -> list[Any] | None:
    """`{"columns": [...], "index": [...], "data": [[...]]}`."""
    names, cells = value.get("columns"), value.get("data")
    if set(value) - {"columns", "index", "data"} or not isinstance(names, list) or not isinstance(cells, list):
        return None
    if not cells or not all(isinstance(row, list) and len(row) == len(names) for row in cells):
        return None
    return [dict(zip(map(str, names), row, strict=True)) for row in cells]
