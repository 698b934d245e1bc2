"""Opens what somebody names: finds out what it is, refuses in one sentence what nobody can read, streams the rest.

A file is read twice: once to know its encoding, which is not certain before its end, and once for its records.
"""

from __future__ import annotations

import io
import json
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from alignment.dataset.reading.containers.apart import unpacked
from alignment.dataset.reading.containers.encoding import MARKS, encoding_of
from alignment.dataset.reading.containers.folder import Found, files_in
from alignment.dataset.reading.containers.json_text import (
    Layout,
    bounded_lines,
    json_line,
    json_records,
    layout_of,
)
from alignment.dataset.reading.containers.opened import LIMITS, MIB, Limits, Line, Opened
from alignment.dataset.reading.containers.prose import kind_of
from alignment.dataset.reading.containers.signs import HEAD, columns_of, packed_with, refused_as
from alignment.dataset.reading.containers.table import delimiter_of, table_records
from alignment.errors import ReadingProblem

NEXT_STEP = "Name a file of JSON lines, JSON, CSV, parquet or arrow."
_KEPT = 8 * MIB  # bytes of an unpacked text that are kept, so that a small file is unpacked once
_HEAD = 1 << 18  # characters in which a table shows itself
_STANDARD_INPUT = "Standard input"

Source = Callable[[], AbstractContextManager[BinaryIO]]  # the bytes of a text, from their beginning


@contextmanager
def open_container(path: Path | None, *, limits: Limits = LIMITS) -> Iterator[Opened]:
    """Open a file, a folder, or standard input (None) as records.

    Raises `ReadingProblem` on what cannot be read as one, here or, where only its end shows that it is cut off or
    damaged, from `lines`.
    """
    name = str(path) if path is not None else _STANDARD_INPUT
    with ExitStack() as stack:
        try:
            found = _found(path, name, limits, stack)
            opened = _opened(found, name, limits, stack)
        except OSError as error:
            raise _unreadable(name, error) from error
        except UnicodeDecodeError as error:
            raise _undecodable(name, error) from error
        yield opened


def _found(path: Path | None, name: str, limits: Limits, stack: ExitStack) -> Found:
    if path is None:
        return Found((stack.enter_context(_spooled(sys.stdin.buffer, name, limits)),))
    try:
        mode = path.stat().st_mode
    except ValueError as error:  # a NUL in its name
        raise ReadingProblem(f"{name!r} is no name of a file. {NEXT_STEP}") from error
    if stat.S_ISDIR(mode):
        return files_in(path)
    if not stat.S_ISREG(mode):  # a pipe that the shell gives a name: it can be read once
        with path.open("rb") as pipe:
            return Found((stack.enter_context(_spooled(pipe, name, limits)),))
    return Found((path,))


def _opened(found: Found, name: str, limits: Limits, stack: ExitStack) -> Opened:
    first = found.files[0]
    with first.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        raise ReadingProblem(f"{name} is empty. {NEXT_STEP}")
    if not packed_with(head) and not columns_of(head):
        if len(found.files) > 1:
            raise ReadingProblem(f"{name} has parts that are neither parquet nor arrow. Name one file.")
        return _text(lambda: first.open("rb"), found, name, limits, stack)
    with ExitStack() as child:
        sent = child.enter_context(unpacked(found.files, name, limits))
        if sent.container:
            stack.push(child.pop_all())
            lines = _guarded(_rows(sent.stream, name, limits), name)
            return Opened(found.container or sent.container, False, found.notes, lines)
        kept = sent.stream.read(_KEPT + 1)
    if len(kept) <= _KEPT:
        return _text(lambda: io.BytesIO(kept), found, name, limits, stack)
    return _text(lambda: _unpacked_text(found, name, limits), found, name, limits, stack)


@contextmanager
def _unpacked_text(found: Found, name: str, limits: Limits) -> Iterator[BinaryIO]:
    with unpacked(found.files, name, limits) as sent:
        yield sent.stream


def _text(source: Source, found: Found, name: str, limits: Limits, stack: ExitStack) -> Opened:
    with source() as file:
        head = file.read(HEAD)
    if not head:
        raise ReadingProblem(f"{name} is empty. {NEXT_STEP}")
    if words := refused_as(head):
        raise ReadingProblem(f"{name} is {words}. {NEXT_STEP}")
    # What it is shows at its beginning, so that a large file of something else is refused before all of it is read.
    layout, delimiter = _sniffed(source, _guess(head), name, limits)
    with source() as file:
        encoding = encoding_of(file, name, limits.size)
    notes = (*found.notes, *filter(None, [encoding.note]))
    text = stack.enter_context(_decoded(source, encoding.name, newline="\n" if layout else ""))
    if layout:
        lines = json_records(text, name, layout, limits)
        return Opened("json lines" if layout == "lines" else "json", False, notes, _guarded(lines, name))
    return Opened("csv", True, notes, _guarded(table_records(text, name, delimiter, limits), name))


def _guess(head: bytes) -> str:
    """An encoding that reads the beginning; whether the rest is in it is found out later."""
    return next((encoding for mark, encoding in MARKS if head.startswith(mark)), "utf-8")


def _sniffed(source: Source, encoding: str, name: str, limits: Limits) -> tuple[Layout | None, str]:
    """How the JSON is laid out, or what separates cells. Raises `ReadingProblem` where the text is neither."""
    with _decoded(source, encoding, newline="\n") as text:
        start = text.read(_HEAD)
    if not start.strip():
        raise ReadingProblem(f"{name} is empty but for blanks. {NEXT_STEP}")
    with _decoded(source, encoding, newline="\n") as text:
        layout = layout_of(text, name, limits)
    delimiter = "" if layout else delimiter_of(start)
    if not layout and not delimiter:
        raise ReadingProblem(f"{name} is {kind_of(start)}. {NEXT_STEP}")
    return layout, delimiter


@contextmanager
def _decoded(source: Source, encoding: str, newline: str) -> Iterator[TextIO]:
    # A byte that is not UTF-8 becomes half a pair, which no text of UTF-8 holds: its line is told from the others.
    errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
    with source() as file, io.TextIOWrapper(file, encoding, errors, newline) as text:
        yield text


def _rows(stream: BinaryIO, name: str, limits: Limits) -> Iterator[Line]:
    """The rows that the child sends; a list is a problem and its detail."""
    with io.TextIOWrapper(stream, "utf-8", newline="\n") as text:
        for number, line in enumerate(bounded_lines(text, name, limits), 1):
            if line.startswith("["):
                problem, detail = json.loads(line)
                yield Line(number, None, problem, detail)
            else:
                yield json_line(line, number, limits)


def _guarded(lines: Iterator[Line], name: str) -> Iterator[Line]:
    try:
        yield from lines
    except UnicodeDecodeError as error:
        raise _undecodable(name, error) from error
    except OSError as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: OSError) -> ReadingProblem:
    return ReadingProblem(f"{name} cannot be read: {error.strerror or error}. {NEXT_STEP}")


def _undecodable(name: str, error: UnicodeDecodeError) -> ReadingProblem:
    return ReadingProblem(f"{name} says that it is {error.encoding}, and is not. Save it as UTF-8.")


@contextmanager
def _spooled(pipe: BinaryIO, name: str, limits: Limits) -> Iterator[Path]:
    """A file with the same bytes, which can be read from its beginning again; it goes with the context."""
    with tempfile.NamedTemporaryFile(prefix="alignloop-") as spool:
        size = 0
        while chunk := pipe.read(MIB):
            size += len(chunk)
            if size > limits.size:
                raise ReadingProblem(f"{name} holds more than {limits.size:,} bytes, which is too much. Split it.")
            spool.write(chunk)
        spool.flush()
        yield Path(spool.name)
