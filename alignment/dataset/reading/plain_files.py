"""Records out of a file: JSON lines, one JSON array or object, or CSV; any of them also compressed with gzip."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, cast

from alignment.dataset.reading.feedback import Record
from alignment.errors import ReadingProblem
from alignment.files import lines_of

NEXT_STEP = "Name a file of JSON lines, one JSON array, or CSV."
_LONGEST_CELL = 2**31 - 1  # csv's own limit is 131,072 characters, less than a long conversation


@dataclass(frozen=True, slots=True)
class Line:
    """One record, or why there is none: `problem` for the count, `detail` for the sentence."""

    number: int
    record: Record | None
    problem: str = ""
    detail: str = ""


def is_table(path: Path) -> bool:
    """Whether a file is CSV, by its name."""
    return plain_name(path).lower().endswith(".csv")


def plain_name(path: Path) -> str:
    """The file's name without what compression added."""
    return path.name.removesuffix(".gz")


def read_lines(path: Path) -> Iterator[Line]:
    """Every record of a file, in order. Raises `ReadingProblem` on a file that cannot be read or is not text."""
    try:
        with _open(path) as file:
            yield from _table(file) if is_table(path) else _json(file)
    except UnicodeDecodeError as error:
        raise ReadingProblem(f"{path} is not text. {NEXT_STEP}") from error
    except (gzip.BadGzipFile, EOFError) as error:
        raise ReadingProblem(f"{path} is not a whole gzip file. {NEXT_STEP}") from error
    except OSError as error:
        raise ReadingProblem(f"{path} cannot be read: {error.strerror}. {NEXT_STEP}") from error


def _open(path: Path) -> TextIO:
    # utf-8-sig: a spreadsheet puts a byte order mark in front.
    if path.name.endswith(".gz"):
        return cast(TextIO, gzip.open(path, "rt", encoding="utf-8-sig", newline=""))
    return path.open(encoding="utf-8-sig", newline="")


def _table(file: TextIO) -> Iterator[Line]:
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.DictReader(file)
    rows = iter(reader)
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield Line(reader.line_num, None, "not a line of CSV", f"is not CSV ({error})")
            continue
        yield Line(reader.line_num, {key: value for key, value in row.items() if key is not None})


def _json(file: TextIO) -> Iterator[Line]:
    """A line at a time; the whole text at once only where the first line alone is no JSON object."""
    first = ""
    number = 0
    while not first.strip():
        first = file.readline()
        number += 1
        if not first:
            return
    head = _line(first, number)
    if head.record is not None:
        yield head
    else:
        text = first + file.read()
        try:
            whole = json.loads(text)
        except (ValueError, RecursionError):
            yield head
            yield from (_line(line, place) for place, line in enumerate(lines_of(text)[1:], number + 1) if line.strip())
            return
        for place, each in enumerate(whole if isinstance(whole, list) else [whole], 1):
            yield _of(each, place)
    yield from (_line(line, place) for place, line in enumerate(file, number + 1) if line.strip())


def _line(text: str, number: int) -> Line:
    try:
        return _of(json.loads(text), number)
    except (ValueError, RecursionError) as error:
        return Line(number, None, "not JSON", f"is not JSON ({error})")


def _of(value: Any, number: int) -> Line:
    if isinstance(value, dict):
        return Line(number, value)
    return Line(number, None, "not a JSON object", "is not a JSON object")
