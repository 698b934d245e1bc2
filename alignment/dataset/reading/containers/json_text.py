"""Records out of JSON: an object a line, one array, objects one after another, or one object that holds the rows.

Lines, arrays and objects stream: one record is held at a time. One object that holds all rows is held whole. A record
that cannot be read is a problem of its own, and reading goes on behind it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, Literal, TextIO

from alignment.dataset.reading.containers.encoding import ESCAPED
from alignment.dataset.reading.containers.opened import Limits, Line
from alignment.dataset.reading.containers.pieces import pieces
from alignment.dataset.reading.containers.wrapped import CUT, rows_of
from alignment.errors import ReadingProblem

Layout = Literal["lines", "array", "objects"]

_LOOK_AHEAD = 50  # lines in which a good one is looked for, where the first is not
_UNPAIRED = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_BAD = re.compile("[\x00\ud800-\udfff]")
_ARRAY = re.compile(r'\[\s*(?:[\[{"\]\d-]|null|true|false|NaN|Infinity|$)')


def bounded_lines(file: TextIO, name: str, limits: Limits) -> Iterator[str]:
    """The lines of a text with their ends. Raises `ReadingProblem` on one that is longer than memory should hold."""
    while line := file.readline(limits.value + 1):
        if len(line) > limits.value:
            raise ReadingProblem(f"{name} has a line of more than {limits.value:,} characters. Break it into records.")
        yield line


def layout_of(file: TextIO, name: str, limits: Limits) -> Layout | None:
    """How the JSON of a text is laid out, by its first lines; None where it is no JSON."""
    lines = (line for line in bounded_lines(file, name, limits) if line.strip())
    first = next(lines, "").strip()
    if first.startswith("["):
        return "array" if _ARRAY.match(first) else None
    if (value := _object(first)) is not None:
        return "lines" if next(lines, None) is not None or rows_of(value) is None else "objects"
    ahead = list(islice(lines, _LOOK_AHEAD))
    good = sum(line.startswith("{") and bool(_object(line)) for line in ahead)
    if first.startswith("{"):
        return "lines" if good else "objects"
    return "lines" if good * 2 > len(ahead) else None


def json_records(file: TextIO, name: str, layout: Layout, limits: Limits) -> Iterator[Line]:
    """The records of a text. Raises `ReadingProblem` where one of them is larger than memory should hold."""
    if layout == "lines":
        for number, line in enumerate(bounded_lines(file, name, limits), 1):
            if line.strip():
                yield json_line(line, number, limits)
        return
    found = pieces(file, name, limits.value, array=layout == "array")
    if layout == "array":
        yield from (json_line(text, place, limits) for place, text in enumerate(found, 1))
        return
    first = next(found, None)
    second = next(found, None)
    rows = None if first is None or second is not None else rows_of(_object(first))
    if rows is not None:
        yield from (_line_of(row, place, limits) for place, row in enumerate(rows, 1))
    else:
        texts = (text for text in chain((first, second), found) if text is not None)
        yield from (json_line(text, place, limits) for place, text in enumerate(texts, 1))


def json_line(text: str, number: int, limits: Limits) -> Line:
    """What one text holds: an object, or why it is none that can be used."""
    if not text.isascii() and ESCAPED.search(text):
        return Line(number, None, "text that is not UTF-8", "is not UTF-8")
    try:
        value = json.loads(text)
    except RecursionError:
        return _too_deep(number, limits)
    except ValueError as error:
        return Line(number, None, "not JSON", f"is not JSON ({error})")
    suspect = "\\u" in text and bool(_UNPAIRED.search(text))
    return _line_of(value, number, limits, suspect=suspect, brackets=text.count("[") + text.count("{"))


def _line_of(value: Any, number: int, limits: Limits, *, suspect: bool = True, brackets: int | None = None) -> Line:
    if value is CUT:
        return Line(number, None, CUT, f"is {CUT}")
    if not isinstance(value, dict):
        return Line(number, None, "not a JSON object", "is not a JSON object")
    if brackets is None or brackets > limits.depth or suspect:
        for depth, text in _texts(value):
            if depth > limits.depth:
                return _too_deep(number, limits)
            if suspect and _BAD.search(text):
                return bad_character(number)
    return Line(number, value)


def bad_character(number: int) -> Line:
    """Why a text of a record cannot be kept."""
    problem = "a character that no database keeps (NUL or half of a pair)"
    return Line(number, None, problem, f"holds {problem}")


def _too_deep(number: int, limits: Limits) -> Line:
    return Line(number, None, "nested too deeply", f"is nested more than {limits.depth} deep")


def _texts(value: Any) -> Iterator[tuple[int, str]]:
    """The texts of a value with their depth, and each container as an empty text; without recursion."""
    waiting = [(1, value)]
    while waiting:
        depth, each = waiting.pop()
        if isinstance(each, str):
            yield depth, each
        elif isinstance(each, dict):
            yield depth, ""
            yield from ((depth, key) for key in each)
            waiting += [(depth + 1, inner) for inner in each.values() if isinstance(inner, dict | list | str)]
        elif isinstance(each, list):
            yield depth, ""
            waiting += [(depth + 1, inner) for inner in each if isinstance(inner, dict | list | str)]


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
