"""Where the values of a JSON text begin and end, without parsing them: so an array streams, and a bad value is one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TextIO

from alignment.errors import ReadingProblem

_CHUNK = 1 << 18  # characters
_MARK = re.compile(r'["\[\]{},]')
_STRING = re.compile(r'[^"\\\n]*+(?:\\.[^"\\\n]*+)*+', re.DOTALL)  # what follows its opening quote


def pieces(file: TextIO, name: str, longest: int, *, array: bool) -> Iterator[str]:
    """The texts of an array's elements, or of the values that follow one another where it is no array.

    What the end of the text cuts off is the last piece. No piece holds more than `longest` characters; raises
    `ReadingProblem` on one that would.
    """
    text = _opened(file) if array else ""
    start = place = depth = 0
    quoted = False
    while True:
        if quoted:
            place = _STRING.match(text, place).end()  # type: ignore[union-attr]  # it matches the empty text, too
            sign = text[place : place + 1]
            if sign == '"':
                quoted, place = False, place + 1
                continue
            if sign == "\n":  # no string goes over a line: a quote is missing or one too many
                quoted = False
                if array and "\n" not in text[start:place].lstrip():  # a record a line: only this one is lost
                    yield text[start:place]
                    start, depth = place, 0
                continue
        else:
            found = _MARK.search(text, place)
            place = found.end() if found else len(text)
            match found.group() if found else "":
                case '"':
                    quoted = True
                    continue
                case "[" | "{":
                    depth += 1
                    continue
                case "]" if array and depth <= 0:
                    if text[start : place - 1].strip():
                        yield text[start : place - 1]
                    rest = text[place:].strip() or file.read(_CHUNK).strip()
                    if rest:
                        yield rest[:_CHUNK]
                    return
                case "]" | "}":
                    depth = max(0, depth - 1)
                    if depth == 0 and not array:
                        yield text[start:place].strip(", \t\r\n")
                        start = place
                    continue
                case ",":
                    if depth == 0 and array:
                        if text[start : place - 1].strip():
                            yield text[start : place - 1]
                        start = place
                    continue
        if place - start > longest:
            raise ReadingProblem(f"{name} holds a value of more than {longest:,} characters. Break it into records.")
        more = file.read(max(_CHUNK, len(text) - start))  # twice as much each time: a long value is copied few times
        if not more:
            if rest := text[start:].strip(", \t\r\n"):
                yield rest
            return
        text, place, start = text[start:] + more, place - start, 0


def _opened(file: TextIO) -> str:
    """What follows the bracket that opens an array, of which there is one."""
    while chunk := file.read(_CHUNK):
        if text := chunk.lstrip():
            return text[1:]
    return ""
