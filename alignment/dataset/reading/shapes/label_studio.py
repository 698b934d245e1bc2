"""Label Studio's JSON export of tasks with annotations.

A pairwise choice (left or right), or choices that name an answer, become one vote for each annotation; cancelled ones
and a model's predictions are no votes. The two answers are the two columns of the data that are named side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alignment.dataset.reading.columns import read_columns
from alignment.dataset.reading.feedback import Feedback, Record, Skip
from alignment.dataset.reading.generic import sides_in
from alignment.dataset.reading.mapping import ColumnMap
from alignment.dataset.reading.names import ADDED, CONVERSATIONS, QUESTIONS
from alignment.dataset.reading.ways import Ways


def is_task(record: Record) -> bool:
    """Whether a record is a task with what people said of it."""
    return isinstance(record.get("data"), Mapping) and isinstance(record.get("annotations"), list)


def read_task(record: Record, ways: Ways) -> list[Feedback]:
    """A vote for each annotation."""
    data = record["data"]
    sides = sides_in(list(data))
    if not sides:
        raise Skip("not two answers side by side")
    a, b = sides[0]
    columns = [name for name in QUESTIONS if name in data][:1]
    columns += [
        name for name in (*ADDED, *CONVERSATIONS) if (name in data and isinstance(data[name], str)) or name in data
    ]
    if not columns:
        raise Skip("no question before the answer")
    made = ColumnMap(prompt=tuple((name,) for name in columns), a=(a,), b=(b,), winner=(("said",),), rater=("rater",))
    found: list[Feedback] = []
    problem: Skip | None = None
    for annotation in record["annotations"]:
        if not isinstance(annotation, Mapping) or annotation.get("was_cancelled"):
            continue
        by = annotation.get("completed_by")
        rater = by.get("id") or by.get("email") if isinstance(by, Mapping) else by
        for result in annotation.get("result") or []:
            try:
                said = {**data, "said": _said(result), "rater": "" if rater is None else str(rater)}
                found += read_columns(said, made, ways)
            except Skip as reason:
                problem = reason
    if not found:
        raise problem or Skip("no annotation that was submitted")
    return found


def _said(result: Mapping[str, Any]) -> Any:
    value = result.get("value") or {}
    if isinstance(value.get("selected"), str):
        return value["selected"]
    choices = value.get("choices")
    if isinstance(choices, list) and len(choices) == 1:
        return choices[0]
    raise Skip("an annotation that compares nothing", result.get("type"))
