"""The same three pairs in every container, and a file opened to the end."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from alignment.dataset.reading.containers import LIMITS, Limits, Line, Opened, open_container

PAIRS: list[dict[str, Any]] = [
    {"prompt": "What is blue?", "chosen": "The sky, and “often” the sea.", "rejected": "Nothing."},
    {"prompt": "Two lines?\nYes.", "chosen": "a,b;c\td", "rejected": 'He said "no".'},
    {"prompt": "Ends\u2028early\u0085?", "chosen": "Ordinary text 🙂", "rejected": "No, Ä."},
]
LINES = "".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in PAIRS).encode()


def table(delimiter: str = ",", rows: list[dict[str, Any]] = PAIRS) -> bytes:
    """Pairs as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def arrow(rows: list[dict[str, Any]] = PAIRS, *, stream: bool = True) -> bytes:
    """Pairs as an arrow stream or file."""
    columns = pa.Table.from_pylist(rows)
    sink = io.BytesIO()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, columns.schema) as writer:
        writer.write_table(columns)
    return sink.getvalue()


def opened(path: Path | None, limits: Limits = LIMITS) -> tuple[Opened, list[Line]]:
    """A file, read to its end."""
    with open_container(path, limits=limits) as found:
        return found, list(found.lines)


def records(path: Path | None, limits: Limits = LIMITS) -> list[Any]:
    """The records of a file; a problem stands in the place of its record."""
    return [line.record if line.record is not None else line.problem for line in opened(path, limits)[1]]
