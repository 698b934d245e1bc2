"""Langfuse: scores joined with their trace or observation, and observations with their scores.

A score that people gave (its name says so: feedback, thumbs, like, rating) of 1 or 0, true or false, or 1 or -1 becomes
a mark on the output. A score of another name measures something else, and is left out and counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alignment.dataset.reading.cells import filled, opened
from alignment.dataset.reading.feedback import Feedback, Record, Skip, mark
from alignment.dataset.reading.messages import answer, conversation
from alignment.dataset.reading.names import words
from alignment.dataset.reading.turns import with_tools
from alignment.dataset.reading.verdicts import is_true, word
from alignment.dataset.reading.ways import Ways

_HOLDERS = ("observation", "trace")
_NAMES = {"feedback", "thumb", "thumbs", "like", "liked", "rating", "helpful", "vote", "satisfaction", "user"}


def is_score(record: Record) -> bool:
    """Whether a record is a score with what it is about."""
    return "value" in record and "name" in record and any(_is_output(record.get(key)) for key in _HOLDERS)


def is_observation(record: Record) -> bool:
    """Whether a record is an observation or a trace with its scores."""
    return _is_output(record) and isinstance(record.get("scores"), list)


def read_score(record: Record, ways: Ways) -> list[Feedback]:
    """One mark."""
    holder = next(record[key] for key in _HOLDERS if _is_output(record.get(key)))
    return [_marked(holder, record, ways)]


def read_observation(record: Record, ways: Ways) -> list[Feedback]:
    """A mark for each score that people gave."""
    found, problem = [], None
    for score in record["scores"]:
        try:
            found.append(_marked(record, score, ways))
        except Skip as reason:
            problem = reason
    if not found:
        raise problem or Skip("an observation without a score")
    return found


def _is_output(value: Any) -> bool:
    return isinstance(value, Mapping) and "input" in value and "output" in value


def _marked(holder: Mapping[str, Any], score: Mapping[str, Any], ways: Ways) -> Feedback:
    name = str(score.get("name") or "")
    if not set(words(name)) & _NAMES:
        raise Skip("a score that is no feedback by its name (name its meaning with --map)", name)
    value = score.get("value") if score.get("value") is not None else score.get("stringValue")
    good = False if word(value) == "-1" else is_true(value)
    if good is None:
        raise Skip("value is not true or false", value)
    asked, tools = _opened(holder["input"]), None
    if isinstance(asked, Mapping) and "messages" in asked:
        asked, tools = asked["messages"], asked.get("tools")
    before = conversation(asked, "user", ways)
    earlier, text = answer(_said(_opened(holder["output"])), ways)
    comment = score.get("comment")
    return mark(
        with_tools(tools, [*before, *earlier]),
        text,
        good,
        rater=str(score.get("authorUserId") or holder.get("userId") or ""),
        comment=comment if isinstance(comment, str) else "",
    )


def _opened(value: Any) -> Any:
    return opened(value) if isinstance(value, str) else value


def _said(output: Any) -> Any:
    """The message of an output, which may be a whole reply of OpenAI's."""
    if isinstance(output, Mapping) and isinstance(output.get("choices"), list) and filled(output["choices"]):
        output = output["choices"][0].get("message", output)
    return output
