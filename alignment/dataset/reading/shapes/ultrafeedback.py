"""UltraFeedback's own form: an instruction and completions, each scored as a whole or by aspects.

The overall score counts; where it is missing, the mean of the aspects' ratings. Equal scores are a tie.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alignment.dataset.reading.columns import read_columns
from alignment.dataset.reading.feedback import Feedback, Record
from alignment.dataset.reading.mapping import ColumnMap
from alignment.dataset.reading.verdicts import number
from alignment.dataset.reading.ways import Ways

_SCORES = ("overall_score", "fine-grained_score", "score", "rating")


def is_scored(record: Record) -> bool:
    """Whether a record has completions with a text and scores of their own."""
    done = record.get("completions")
    return (
        isinstance(done, list)
        and bool(done)
        and all(isinstance(each, Mapping) and "response" in each and "rank" not in each for each in done)
        and any(key in record for key in ("instruction", "prompt", "input"))
    )


def read_scored(record: Record, ways: Ways) -> list[Feedback]:
    """One ranking."""
    question = next(key for key in ("instruction", "prompt", "input") if key in record)
    done = [{"text": each["response"], "score": _score(each)} for each in record["completions"]]
    columns = ColumnMap(prompt=((question,),), answers=("done",), text=("text",), score=("score",))
    return read_columns({question: record[question], "done": done}, columns, ways)


def _score(completion: Mapping[str, Any]) -> float | None:
    for key in _SCORES:
        if number(completion.get(key)) is not None:
            return number(completion[key])
    ratings = [aspect.get("Rating") for aspect in (completion.get("annotations") or {}).values()]
    numbers = [found for rating in ratings if (found := number(rating)) is not None]
    return sum(numbers) / len(numbers) if numbers else None
