"""CSV for people: one pair a line, to read and sort in a spreadsheet, and back.

`prompt` is the last question and `history` the messages before it as JSON (empty when there are none); where
the last message is no question of a user, `prompt` is empty and `history` holds them all. Cells that a
spreadsheet would calculate get an apostrophe in front and lose it again on reading (OWASP, CSV injection).
"""

from __future__ import annotations

import json
import re

from alignment.dataset.reading.feedback import Feedback, Record, two
from alignment.dataset.reading.shapes.table import COLUMNS, unescaped
from alignment.dataset.reading.turns import records

__all__ = ["COLUMNS", "escaped", "unescaped", "write_csv"]


_FORMULA = re.compile(r"'*[=+\-@\t\r＝＋－＠]")


def write_csv(feedback: Feedback) -> Record:
    """One line, by column."""
    chosen, rejected = two(feedback)
    turns, question = list(feedback.prompt), ""
    if turns and turns[-1].role == "user" and turns[-1].content:
        question = turns.pop().content
    cells = {
        "prompt": question,
        "chosen": chosen,
        "rejected": rejected,
        "weight": f"{feedback.weight:g}",
        "origin": feedback.origin,
        "judgements": " ".join(feedback.judgements),
        "history": json.dumps(records(turns), ensure_ascii=False) if turns else "",
    }
    return {column: escaped(text) for column, text in cells.items()}


def escaped(cell: str) -> str:
    """The cell as a spreadsheet shows it and does not calculate it.

    >>> escaped("=1+1"), escaped("'=1+1"), escaped("1+1"), escaped("'tis")
    ("'=1+1", "''=1+1", '1+1', "'tis")
    """
    return "'" + cell if _FORMULA.match(cell) else cell
