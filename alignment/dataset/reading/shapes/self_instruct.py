"""Self-instruct's seed tasks: an instruction and its instances, each an input and an output."""

from __future__ import annotations

from collections.abc import Mapping

from alignment.dataset.judgement import Message
from alignment.dataset.reading.feedback import Feedback, Record, Skip, demonstration
from alignment.dataset.reading.ways import Ways


def is_task(record: Record) -> bool:
    """Whether a record is such a task."""
    instances = record.get("instances")
    return (
        "instruction" in record and isinstance(instances, list) and all(isinstance(each, Mapping) for each in instances)
    )


def read_task(record: Record, ways: Ways) -> list[Feedback]:
    """A demonstration for each instance; instruction and input are joined by a line break."""
    found = []
    for each in record["instances"]:
        texts = [record["instruction"], each.get("input")]
        asked = "\n".join(text for text in texts if isinstance(text, str) and text)
        if not isinstance(each.get("output"), str):
            raise Skip("an answer without a text")
        found.append(demonstration([Message("user", asked)], each["output"]))
    if not found:
        raise Skip("no answer")
    return found
