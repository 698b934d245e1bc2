"""A file that somebody brings by the page: kept in a private folder while it is read, looked at first, then imported.

Both are the one reading of `import`, with limits of the page's own: a request waits for it. Nothing stays between the
look and the import; the browser sends the file again. What may not be done here: HTML and HTTP.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from alignment.dataset.reading.containers import Limits
from alignment.dataset.reading.feedback import Feedback, Ranks, Skip, checked
from alignment.dataset.reading.mapping import ColumnMap, parse, worded
from alignment.dataset.reading.read import Reading, read_feedback
from alignment.errors import ReadingProblem
from feedback_app.domain.judging import Kind
from feedback_app.exchange.importing import Imported, bring_in
from feedback_app.exchange.writing import BEFORE, stored_as

if TYPE_CHECKING:
    from feedback_app.store.database import Store

MIB = 2**20
LIMITS = Limits(size=1024 * MIB, value=64 * MIB, ratio_from=64 * MIB, memory=1024 * MIB, processor_s=120)
FOLDER = "brought"  # in the home; each file has a folder of its own in it
STALE_S = 86_400  # a folder that a stopped process left behind is removed after this long
LONGEST_NAME = 100  # characters of a file's name
ROWS, LINES = 5, 5  # rows that are shown, and lines that are named for each reason
LONGEST_TEXT = 600  # characters of a text that is shown
MOST_TURNS = 6  # messages of a conversation that are shown, the last ones


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a file shall be read: columns in the language of `--map` ("" is as detected), and both switches."""

    map: str = ""
    text_only: bool = False
    strict: bool = False

    def mapping(self) -> ColumnMap | None:
        """The map of columns, if one was given. Raises `ReadingProblem`."""
        return parse([self.map]) if self.map.strip() else None


@dataclass(frozen=True, slots=True)
class Shown:
    """A row as it would be read: turns as (role, text), answers as (what was said of it, text); texts are cut.

    `earlier` is how many turns before these are not shown.
    """

    line: int
    turns: tuple[tuple[str, str], ...]
    answers: tuple[tuple[str, str], ...]
    earlier: int = 0


@dataclass(frozen=True, slots=True)
class Reason:
    """Why rows would be left out, how many, and the first of their lines."""

    words: str
    count: int
    lines: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """What an import of the file would do, were none of it there already. `kinds` count by kind.

    `columns` is the map that reads the first row, "" where its shape has code of its own.
    """

    format: str
    container: str
    columns: str
    read: int
    kinds: dict[str, int]
    left_out: tuple[Reason, ...]
    first: tuple[Shown, ...]
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Seen:
    kinds: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    lines: dict[str, list[int]] = field(default_factory=dict)
    first: list[Shown] = field(default_factory=list)
    ranks: Ranks = field(default_factory=Ranks)
    said: set[int] = field(default_factory=set)

    def keep(self, line: int, one: Feedback) -> None:
        kind = stored_as(one)
        before = len(self.said)
        self.said.add(int(checked(one).digest[:16], 16))
        if len(self.said) == before:
            raise Skip(BEFORE[0])
        self.kinds[kind] += 1
        if kind == Kind.RANK:
            self.ranks.see(one)
        if len(self.first) < ROWS:
            self.first.append(_shown(line, one))

    def leave(self, line: int, reason: str) -> None:
        self.reasons[reason] += 1
        lines = self.lines.setdefault(reason, [])
        if len(lines) < LINES:
            lines.append(line)


@contextmanager
def kept(home: Path, name: str) -> Iterator[Path]:
    """A place for the file, in a folder that only this process's user reads; it goes with the context."""
    folder = home / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sweep(folder)
    own = Path(tempfile.mkdtemp(dir=folder))  # 0700, whatever the umask is
    try:
        yield own / plain_name(name)
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove what a process that was killed left behind."""
    for left in folder.iterdir():
        with suppress(OSError):  # it went meanwhile
            if time.time() - left.stat().st_mtime > STALE_S:
                shutil.rmtree(left, ignore_errors=True)


def plain_name(name: str) -> str:
    """A file's name as one may be used here: no folder, nothing that cannot be printed, not hidden, not long.

    >>> plain_name("../../etc/passwd"), plain_name("votes 1.jsonl"), plain_name(" .. ")
    ('passwd', 'votes 1.jsonl', 'file')
    """
    last = name.replace("\\", "/").rpartition("/")[2]
    printable = "".join(sign for sign in last if sign.isprintable()).strip(" .")
    while len(printable.encode()) > LONGEST_NAME:
        printable = printable[:-1]
    return printable or "file"


def preview(path: Path, wishes: Wishes) -> Preview:
    """Read the whole file as an import would, and store nothing. Raises `ReadingProblem`."""
    with _named(path):
        reading = read_feedback(path, mapping=wishes.mapping(), text_only=wishes.text_only, limits=LIMITS)
        seen, read = _Seen(), 0
        for found in reading.rows:
            read += 1
            if found.problem:
                seen.leave(found.line, found.problem)
            for one in found.feedback:
                try:
                    seen.keep(found.line, one)
                except Skip as reason:
                    seen.leave(found.line, str(reason))
        return _preview(reading, seen, read)


def _preview(reading: Reading, seen: _Seen, read: int) -> Preview:
    return Preview(
        reading.format,
        reading.container,
        "" if reading.columns is None else worded(reading.columns),
        read,
        dict(seen.kinds),
        tuple(Reason(words, count, tuple(seen.lines[words])) for words, count in seen.reasons.most_common()),
        tuple(seen.first),
        (*reading.notes(), *seen.ranks.notes()),
    )


def bring(store: Store, path: Path, wishes: Wishes) -> Imported:
    """Import the file. Raises as `bring_in`."""
    with _named(path):
        return bring_in(
            store,
            path,
            mapping=wishes.mapping(),
            text_only=wishes.text_only,
            strict=wishes.strict,
            limits=LIMITS,
        )


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """A file is called as whoever brought it calls it; where it lies here is nothing to them."""
    try:
        yield
    except ReadingProblem as error:
        raise ReadingProblem(str(error).replace(str(path), path.name)) from error


def _shown(line: int, one: Feedback) -> Shown:
    turns = tuple((turn.role, _cut(turn.content)) for turn in one.prompt[-MOST_TURNS:])
    answers = tuple((_said(one, place), _cut(answer.text)) for place, answer in enumerate(one.answers))
    return Shown(line, turns, answers, len(one.prompt) - len(turns))


def _said(one: Feedback, place: int) -> str:
    """What was said of one answer, in a word."""
    answer = one.answers[place]
    if answer.rank is not None:
        ranks = [each.rank for each in one.answers]
        if len(ranks) > 2:
            return f"rank {answer.rank}"
        return "equal" if ranks[0] == ranks[1] else "better" if answer.rank == min(filter(None, ranks)) else "worse"
    if answer.good is None:
        return "to imitate"
    return "good" if answer.good else "bad"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
