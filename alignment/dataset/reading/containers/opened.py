"""What a file is opened as: its lines, what is said about it, and the limits that it is held to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Record = dict[str, Any]  # that of `formats.feedback`, which this package does without: its child starts in no time

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Line:
    """One record, or why there is none: `problem` for the count, `detail` for the sentence.

    `number` counts from 1: the line of a text, the record of a JSON document, the row of a table without lines.
    """

    number: int
    record: Record | None
    problem: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that could be read as something.

    `container` is "json lines", "json", "csv", "parquet", "arrow" or "saved dataset". The cells of a `table` are
    texts, and nested values stand in them as JSON. `notes` are sentences to say aloud. `lines` streams, once.
    """

    container: str
    table: bool
    notes: tuple[str, ...]
    lines: Iterator[Line]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file may ask of the machine. Beyond any of these it is refused, in one sentence."""

    size: int = 64 * 1024 * MIB  # bytes that are read, after unpacking
    value: int = 128 * MIB  # bytes or characters of one line, one record, or one object that holds all rows
    ratio: int = 250  # bytes unpacked of one byte, once `ratio_from` bytes came out; ordinary text has 2 to 20
    ratio_from: int = 256 * MIB
    nesting: int = 2  # compressions around one another, a zip included
    depth: int = 100  # lists and objects within one another
    memory: int = 2048 * MIB  # bytes that the child may take, beyond what it starts with
    processor_s: int = 900  # seconds of processor time of the child; waiting for the reader costs none


LIMITS = Limits()
