"""One reading of feedback files, for `import`, `gold`, `train --data` and the pages alike.

`read_feedback` opens a file in any container, tells its format by its records, and gives for each record its feedback,
or why there is none. It streams: a file is read as far as somebody asks for rows.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from alignment.dataset.reading.columns import read_columns
from alignment.dataset.reading.containers import LIMITS, Limits, Line, Opened, open_container
from alignment.dataset.reading.detect import NAMES, Detector, Way
from alignment.dataset.reading.feedback import Feedback, Record, Skip
from alignment.dataset.reading.formats.llama_factory import Layout, layout_of, renamed
from alignment.dataset.reading.mapping import ColumnMap, must_be_there
from alignment.dataset.reading.presets import Preset
from alignment.dataset.reading.ways import MOST_VALUES, Ways
from alignment.errors import ReadingProblem

LOOK_AHEAD = 100  # records that are tried before a file is called none of ours
MOST_JOINED = 10_000  # records that are held to be put side by side
MAPPED = "mapped"  # the format's name where a map was given
WRONG_KIND = "a key is missing or of another kind"


@dataclass(frozen=True, slots=True)
class Found:
    """What one record holds: its feedback, or (`feedback` is empty) the reason why there is none.

    `line` is the line of the text or the row of the table, from 1; of records that were put side by side, the last
    one's, and the others have neither feedback nor a problem. `record` is what stands there, where it is one record.
    """

    line: int
    feedback: tuple[Feedback, ...]
    problem: str = ""
    record: Record | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """A file that is being read: its format, its rows in order, and what is to be said about how they were read.

    `container` is what holds the records (`containers.Opened`); `columns` is the map that reads the first of them,
    None where its shape has code of its own.
    """

    format: str
    rows: Iterator[Found]
    ways: Ways
    said: tuple[str, ...] = ()
    container: str = ""
    columns: ColumnMap | None = None

    def notes(self) -> list[str]:
        """Sentences about the reading; complete after the rows were read."""
        return [*self.said, *self.ways.notes()]


def read_feedback(
    path: Path | None,
    *,
    format: str = "",
    mapping: ColumnMap | None = None,
    text_only: bool = False,
    limits: Limits = LIMITS,
) -> Reading:
    """Read a file of feedback; None is standard input. `mapping` wins over `format`, `format` over detection.

    With `text_only`, images are left out and said, and their rows are kept. `limits` are what the file may ask of the
    machine. Raises `ReadingProblem` on a file that
    cannot be read, or is in no format that is known; while rows are read, too.
    """
    if format and format not in NAMES:
        raise ReadingProblem(f"There is no import format called {format}. Formats: {', '.join(sorted(NAMES))}.")
    with ExitStack() as stack:
        opened = stack.enter_context(open_container(path, limits=limits))
        source = _Source(path, opened, format, mapping, Ways(text_only))
        rows = source.rows(stack.pop_all())
    said = (*opened.notes, *source.said)
    return Reading(source.format, rows, source.ways, said, opened.container, source.columns)


class _Source:
    """An opened file, its format, and how its records are read."""

    def __init__(self, path: Path | None, opened: Opened, format: str, mapping: ColumnMap | None, ways: Ways) -> None:
        self.ways, self.said = ways, list[str]()
        self._name = str(path) if path is not None else "standard input"
        self._only = format
        self._mapping = mapping
        self._layout = _layout(path) if mapping is None and format in ("", "llama-factory") else None
        self._detector = Detector(ways, opened.table)
        self._ahead = list(islice(opened.lines, LOOK_AHEAD))
        self._lines = opened.lines
        if not self._ahead:
            raise ReadingProblem(f"{self._name} is empty: it holds no record. Name a file that holds some.")
        self.columns = mapping
        self.format = self._told()
        self._reasons: Counter[str] = Counter()

    def _told(self) -> str:
        """The format's name, from the map, the layout, the person, or the first record that shows one."""
        records = [line.record for line in self._ahead if line.record is not None]
        if self._mapping is not None:
            if records:
                must_be_there(self._mapping, records)
            return MAPPED
        if self._layout is not None:
            self.said.append("Columns are read as dataset_info.json beside the file names them.")
            return "llama-factory"
        if self._only:
            return self._only
        problem: ReadingProblem | None = None
        for line in self._ahead:
            try:
                if line.record is None:
                    detail = line.detail or line.problem
                    raise ReadingProblem(f"{self._name}, line {line.number}, {detail}. Name a file of feedback.")
                way = self._detector.way(line.record)
                self.columns = way.columns
                return way.format
            except ReadingProblem as error:
                problem = problem or error
        assert problem is not None
        raise problem

    def rows(self, stack: ExitStack) -> Iterator[Found]:
        """What each record holds; the file is closed behind the last one."""
        with stack:
            waiting: list[Line] = []
            preset: Preset | None = None
            for line in chain(self._ahead, self._lines):
                way = self._way(line)
                joins = way.preset if isinstance(way, Way) else None
                if waiting and (joins is None or not _beside(preset, waiting, line)):
                    yield from self._joined(preset, waiting)
                    waiting = []
                if joins is not None:
                    preset = joins
                    waiting.append(line)
                else:
                    yield self._found(line, way)
            if waiting:
                yield from self._joined(preset, waiting)

    def _way(self, line: Line) -> Way | str:
        """How a line is read, or why it is not."""
        if line.record is None:
            return line.problem
        if self._mapping is not None:
            mapping = self._mapping
            return Way(MAPPED, lambda record: read_columns(record, mapping, self.ways))
        try:
            if self._layout is not None:
                made = renamed(line.record, self._layout)
                way = self._detector.way(made)
                return Way("llama-factory", lambda _: way.read(made))
            return self._detector.way(line.record, self._only)
        except ReadingProblem:
            return WRONG_KIND
        except (KeyError, TypeError, AttributeError, ValueError, IndexError, RecursionError):
            return WRONG_KIND

    def _found(self, line: Line, way: Way | str) -> Found:
        if isinstance(way, str):
            return Found(line.number, (), way, line.record)
        assert line.record is not None
        return self._read(line.number, way.read, line.record, line.record)

    def _joined(self, preset: Preset | None, lines: list[Line]) -> Iterator[Found]:
        """Records that belong together, read at once: the last line has what they say."""
        assert preset is not None
        join = preset.join
        assert join is not None
        for line in lines[:-1]:
            yield Found(line.number, ())
        records = [line.record for line in lines if line.record is not None]
        yield self._read(lines[-1].number, lambda given: join(given, self.ways), records)

    def _read(self, number: int, read: Any, given: Any, record: Record | None = None) -> Found:
        try:
            return Found(number, tuple(read(given)), "", record)
        except Skip as reason:
            return Found(number, (), self._reason(reason), record)
        except ReadingProblem as error:
            if number <= self._ahead[-1].number:
                raise
            return Found(number, (), str(error), record)
        except (KeyError, TypeError, AttributeError, ValueError, IndexError, OverflowError, RecursionError):
            return Found(number, (), WRONG_KIND, record)

    def _reason(self, skip: Skip) -> str:
        """The reason with the value that stood there, for as many different values as can be counted apart."""
        said = str(skip)
        if said != skip.reason and said not in self._reasons:
            if sum(1 for each in self._reasons if each.startswith(skip.reason)) >= MOST_VALUES:
                return skip.reason
            self._reasons[said] += 1
        return said


def _beside(preset: Preset | None, waiting: list[Line], line: Line) -> bool:
    """Whether a record belongs with those that wait."""
    if preset is None or preset.together is None or line.record is None or len(waiting) >= MOST_JOINED:
        return False
    first = waiting[0].record
    return first is not None and preset.together(first) == preset.together(line.record)


def _layout(path: Path | None) -> Layout | None:
    """What a `dataset_info.json` beside the file says of it."""
    if path is None or path.is_dir():
        return None
    try:
        info = json.loads((path.parent / "dataset_info.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    name = path.name
    for ending in (".gz", ".zst", ".bz2", ".xz"):
        name = name.removesuffix(ending)
    return layout_of(info, name)
