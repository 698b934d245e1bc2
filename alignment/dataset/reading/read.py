"""One reading of feedback files, for `import`, `gold`, `train --data` and the pages alike.

`read_feedback` opens a file in any container, tells its format by its records, and gives for each record its
feedback, or why there is none. It streams: a file is read as far as somebody asks for rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from alignment.dataset.reading.feedback import Feedback, Record, Skip
from alignment.dataset.reading.formats import FORMATS, detect, llama_factory
from alignment.dataset.reading.mapping import ColumnMap
from alignment.dataset.reading.plain_files import NEXT_STEP, Line, is_table, plain_name, read_lines
from alignment.errors import ReadingProblem

LOOK_AHEAD = 100  # records that are tried before a file is called none of ours


@dataclass(frozen=True, slots=True)
class Found:
    """What one record holds: its feedback, or (`feedback` is empty) the reason why there is none.

    `line` is the line of the text or the row of the table, from 1.
    """

    line: int
    feedback: tuple[Feedback, ...]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """A file that is being read: its format, its rows in order, and what is to be said about how they were read."""

    format: str
    rows: Iterator[Found]
    said: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        """Sentences about the reading; complete after the rows were read."""
        return list(self.said)


def read_feedback(
    path: Path | None, *, format: str = "", mapping: ColumnMap | None = None, text_only: bool = False
) -> Reading:
    """Read a file of feedback; None is standard input. `mapping` wins over `format`, `format` over detection.

    With `text_only`, images are left out and said, and their rows are kept. Raises `ReadingProblem` on a file that
    cannot be read, or is in no format that is known; while rows are read, too.
    """
    if format and format not in FORMATS:
        raise ReadingProblem(f"There is no import format called {format}. Formats: {', '.join(sorted(FORMATS))}.")
    assert path is not None
    lines = read_lines(path)
    said: list[str] = []
    ahead, format, read = _reader(path, lines, format, said)
    return Reading(format, _rows(path, chain(ahead, lines), read), said)


Reader = Callable[[Record], list[Feedback]]


def _rows(path: Path, lines: Iterator[Line], read: Reader) -> Iterator[Found]:
    line = None
    for line in lines:
        try:
            if line.record is None:
                raise Skip(line.problem)
            yield Found(line.number, tuple(read(line.record)))
        except Skip as reason:
            yield Found(line.number, (), str(reason))
        except (KeyError, TypeError, AttributeError, ValueError, IndexError):
            yield Found(line.number, (), "a key is missing or of another kind")
    if line is None:
        raise ReadingProblem(f"{path} is empty. {NEXT_STEP}")


def _reader(path: Path, lines: Iterator[Line], format: str, said: list[str]) -> tuple[list[Line], str, Reader]:
    """The lines that were read to find out, the format, and how to read a record of it."""
    layout = llama_factory.layout_of(_dataset_info(path), plain_name(path)) if format in ("", "llama-factory") else None
    if layout is not None:
        said.append("Columns are read as dataset_info.json beside the file names them.")
        return [], "llama-factory", partial(llama_factory.read_llama_factory, layout=layout)
    if not format and is_table(path):
        format = "csv"
    if format:
        return [], format, FORMATS[format].read
    ahead: list[Line] = []
    problem: ReadingProblem | None = None
    for line in lines:
        ahead.append(line)
        try:
            if line.record is None:
                raise ReadingProblem(f"{path}, line {line.number}, {line.detail}. {NEXT_STEP}")
            found = detect(line.record)
            return ahead, found, FORMATS[found].read
        except ReadingProblem as error:
            problem = problem or error
        if len(ahead) == LOOK_AHEAD:
            break
    raise problem or ReadingProblem(f"{path} is empty. {NEXT_STEP}")


def _dataset_info(path: Path) -> Any:
    try:
        return json.loads((path.parent / "dataset_info.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
