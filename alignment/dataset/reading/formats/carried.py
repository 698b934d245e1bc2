"""What each format that is written can carry, found out by writing and reading it: nobody keeps a list that may lie.

`carried` writes one small piece of feedback for each part, as a file holds it, and reads it again. The table in the
documentation and what an export says was lost are both made from this.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache

from alignment.dataset.judgement import Message
from alignment.dataset.reading.feedback import Answer, Feedback, Kind, checked, demonstration, mark, pair, ranking
from alignment.dataset.reading.formats import FORMATS
from alignment.dataset.reading.turns import calls_text


class Part(StrEnum):
    """What feedback may have beside a question, its answers and which is better."""

    SYSTEM = "a system prompt"
    TURNS = "several turns"
    TOOLS = "tool calls and results"
    TIES = "ties"
    BOTH_BAD = "both bad"
    COMMENT = "a comment"
    REASONS = "reasons"


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a part: it is `kept`; or its row is left out for this `reason`; or the row goes without it."""

    kept: bool
    reason: str = ""


ASKED = (Message("user", "How much is 2 + 2?"),)
PROMPTS: Mapping[Part, tuple[Message, ...]] = {
    Part.SYSTEM: (Message("system", "Be short."), *ASKED),
    Part.TURNS: (Message("user", "Hello"), Message("assistant", "Good day."), *ASKED),
    Part.TOOLS: (
        *ASKED,
        Message("assistant", calls_text([{"name": "add", "arguments": {"a": 2, "b": 2}}])),
        Message("tool", "4"),
    ),
}


def plain(kind: Kind) -> Feedback:
    """The smallest feedback of a kind."""
    match kind:
        case Kind.PAIR:
            return pair(ASKED, "4", "5")
        case Kind.MARK:
            return mark(ASKED, "4", good=True)
        case Kind.DEMONSTRATION:
            return demonstration(ASKED, "4")
        case Kind.RANKING:
            return ranking(ASKED, ("4", "5", "6"), (1, 2, 3))
        case Kind.VOTE:
            return Feedback(ASKED, (Answer("5", 2), Answer("4", 1)))


def probe(kind: Kind, part: Part) -> Feedback | None:
    """The smallest feedback of a kind that has this part; None where none can have it."""
    one = plain(kind)
    match part:
        case Part.TIES if kind is Kind.RANKING:
            return ranking(ASKED, ("4", "5", "6"), (1, 2, 2))
        case Part.TIES if kind is Kind.VOTE:
            return replace(one, answers=(Answer("5", 1), Answer("4", 1)))
        case Part.BOTH_BAD if kind is Kind.VOTE:
            return replace(one, answers=(Answer("5", good=False), Answer("6", good=False)))
        case Part.TIES | Part.BOTH_BAD:
            return None
        case Part.COMMENT:
            return replace(one, comment="It adds up.")
        case Part.REASONS:
            return replace(one, reasons=("correct", "short"))
    return replace(one, prompt=PROMPTS[part])


def again(format: str, one: Feedback) -> tuple[list[Feedback], Counter[str]]:
    """What is read of one piece after it was written, and why it was not written."""
    left_out: Counter[str] = Counter()
    records = list(FORMATS[format].write([one], left_out))
    texts = [json.dumps(record, ensure_ascii=False) for record in records]
    return [checked(each) for text in texts for each in FORMATS[format].read(json.loads(text))], left_out


@cache
def carried(format: str) -> Mapping[Part, Fate]:
    """What becomes of each part that some feedback of this format's kinds can have."""
    fates: dict[Part, Fate] = {}
    for part in Part:
        for kind in FORMATS[format].takes:
            one = probe(kind, part)
            if one is None:
                continue
            read, left_out = again(format, one)
            same = [_all_of(each) for each in read] == [_all_of(one)]
            fate = Fate(same, next(iter(left_out), ""))
            if part not in fates or not fate.kept:
                fates[part] = fate
    return fates


def _all_of(one: Feedback) -> tuple[str, str, tuple[str, ...]]:
    return one.digest, one.comment, one.reasons
