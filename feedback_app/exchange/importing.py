"""Import: a file's records through the same tasks, tickets and verdicts as everyone's.

Which format a file has and what its records say is read here; `exchange.writing` stores it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from alignment.dataset.reading.formats import FORMATS, Feedback, Record, Skip, detect, llama_factory
from alignment.dataset.reading.formats.feedback import Ranks
from alignment.errors import ReadingProblem
from feedback_app.domain.judging import Kind
from feedback_app.errors import UsageError
from feedback_app.exchange.files import NEXT_STEP, Line, is_table, plain_name, read_lines
from feedback_app.exchange.writing import DEMONSTRATION, Origin, write_gold, write_judgements

if TYPE_CHECKING:
    from feedback_app.store.database import Store

LOOK_AHEAD = 100  # records that are tried before a file is called none of ours


@dataclass(frozen=True, slots=True)
class Source:
    """How a file is read: its format, by what reader, and what is said about the choice."""

    format: str
    read: Callable[[Record], list[Feedback]]
    notes: tuple[str, ...] = ()


class Imported(TypedDict):
    """What an import did: `imported` by kind, `skipped` by reason, and what was noticed, in sentences."""

    format: str
    read: int
    imported: dict[str, int]
    skipped: dict[str, int]
    notes: list[str]


class GoldAdded(TypedDict):
    """What became gold tasks; `skipped` by reason."""

    format: str
    read: int
    added: int
    skipped: dict[str, int]


def bring_in(store: Store, path: Path, format: str = "") -> Imported:
    """Turn a file's records into judgements. Raises `UsageError` on a file that is none of ours.

    One record of a tree holds several judgements.
    """
    imported: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    ranks = Ranks()
    source, records = read_feedback(path, format)
    pieces = _Pieces(records)
    for done in write_judgements(store, pieces, Origin(source.format, path.name)):
        if done.problem:
            skipped[done.problem] += 1
            continue
        imported[done.kind] += 1
        if done.kind == Kind.RANK and done.feedback is not None:
            ranks.see(done.feedback)
    notes = [*source.notes, *ranks.notes()]
    if imported[DEMONSTRATION]:
        notes.append("Demonstrations train sft; they make no pairs and no marks, because nobody compared them.")
    return {
        "format": source.format,
        "read": pieces.read,
        "imported": dict(imported),
        "skipped": dict(skipped),
        "notes": notes,
    }


def add_gold(store: Store, path: Path, format: str = "") -> GoldAdded:
    """Turn a file's comparisons into gold tasks: the better answer of each is taken as known. Raises as `bring_in`."""
    skipped: Counter[str] = Counter()
    added = 0
    source, records = read_feedback(path, format)
    pieces = _Pieces(records)
    for done in write_gold(store, pieces, Origin(source.format, path.name)):
        if done.problem:
            skipped[done.problem] += 1
        else:
            added += 1
    return {"format": source.format, "read": pieces.read, "added": added, "skipped": dict(skipped)}


class _Pieces:
    """What records hold, piece by piece, each with its record's number; `read` counts the records that came."""

    def __init__(self, records: Iterable[list[Feedback] | Skip]) -> None:
        self._records = records
        self.read = 0

    def __iter__(self) -> Iterator[tuple[int, Feedback | Skip]]:
        for found in self._records:
            self.read += 1
            for one in [found] if isinstance(found, Skip) else found:
                yield self.read, one


def read_feedback(path: Path, format: str = "") -> tuple[Source, Iterator[list[Feedback] | Skip]]:
    """How a file is read, and for each record its feedback, or why there is none.

    Raises `UsageError` on a file that is none of ours.
    """
    if format and format not in FORMATS:
        raise UsageError(f"There is no import format called {format}. Formats: {', '.join(sorted(FORMATS))}.")
    lines = read_lines(path)
    ahead, source = _source(path, lines, format)

    def records() -> Iterator[list[Feedback] | Skip]:
        line = None
        for line in chain(ahead, lines):
            try:
                yield _read(line, source)
            except Skip as reason:
                yield reason
        if line is None:
            raise UsageError(f"{path} is empty. {NEXT_STEP}")

    return source, records()


def _source(path: Path, lines: Iterator[Line], format: str) -> tuple[list[Line], Source]:
    """The lines that were read to find out, and how to read all of them."""
    layout = llama_factory.layout_of(_dataset_info(path), plain_name(path)) if format in ("", "llama-factory") else None
    if layout is not None:
        read = partial(llama_factory.read_llama_factory, layout=layout)
        return [], Source("llama-factory", read, ("Columns are read as dataset_info.json beside the file names them.",))
    if not format and is_table(path):
        format = "csv"
    if format:
        return [], Source(format, FORMATS[format].read)
    ahead: list[Line] = []
    problem: UsageError | None = None
    for line in lines:
        ahead.append(line)
        try:
            if line.record is None:
                raise UsageError(f"{path}, line {line.number}, {line.detail}. {NEXT_STEP}")
            found = detect(line.record)
            return ahead, Source(found, FORMATS[found].read)
        except (UsageError, ReadingProblem) as error:
            problem = problem or UsageError(str(error))
        if len(ahead) == LOOK_AHEAD:
            break
    raise problem or UsageError(f"{path} is empty. {NEXT_STEP}")


def _dataset_info(path: Path) -> Any:
    try:
        return json.loads((path.parent / "dataset_info.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _read(line: Line, source: Source) -> list[Feedback]:
    if line.record is None:
        raise Skip(line.problem)
    try:
        return source.read(line.record)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise Skip("a key is missing or of another kind") from error
