"""This project's own CSV: one pair a line, its texts taken as they stand.

`prompt` is the last question and `history` the messages before it as JSON; where the last message is no question of a
user, `prompt` is empty and `history` holds them all. A cell that a spreadsheet would calculate has an apostrophe in
front, and loses it here (OWASP, CSV injection).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from alignment.dataset.judgement import Message
from alignment.dataset.reading.feedback import Feedback, Skip, pair
from alignment.dataset.reading.messages import conversation
from alignment.dataset.reading.ways import Ways

COLUMNS = ("prompt", "chosen", "rejected", "weight", "origin", "judgements", "history")
_ESCAPED = re.compile(r"'+[=+\-@\t\r＝＋－＠]")


def is_own(record: Mapping[str, object]) -> bool:
    """Whether a record is a line of a file that this project wrote."""
    return set(COLUMNS) <= set(record)


def read_csv(record: Mapping[str, str | None], ways: Ways | None = None) -> list[Feedback]:
    """One pair. Columns beyond prompt, chosen, rejected and history are not read."""
    cells = {column: unescaped(record.get(column) or "") for column in ("prompt", "chosen", "rejected", "history")}
    try:
        turns = conversation(json.loads(cells["history"])) if cells["history"].strip() else []
    except ValueError as error:
        raise Skip("history is not JSON") from error
    if cells["prompt"]:
        turns.append(Message("user", cells["prompt"]))
    return [pair(turns, cells["chosen"], cells["rejected"])]


def unescaped(cell: str) -> str:
    """What `escaped` was given."""
    return cell[1:] if _ESCAPED.match(cell) else cell
