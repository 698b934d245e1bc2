"""The suites of a home: those that ship, those that an operator brought, and which of them the gate asks.

A file that is brought is copied whole into `HOME/suites` under its hash and never changed; `index.json` beside it has
names, margins and the gate's choice. A suite that ships is asked where it was made for the model: `tiny` for the model
that this project trains itself, `general` for every other. Nothing here asks a model.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from alignment.evaluation.capability import QuestionFileError, load_questions
from alignment.evaluation.suites.items import MARGIN, Suite, in_turn, margin_for, needed
from alignment.evaluation.suites.reading import BadLine, ReadSuite, read_suite
from alignment.files import sha256_of, write_whole
from feedback_app.errors import Conflict, NotFound, RoundFailed, UsageError
from feedback_app.settings import Settings

TINY, GENERAL = "tiny", "general"
SHIPPED = (TINY, GENERAL)
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


class Kept(BaseModel):
    """A suite of one's own in the index: the hash of its file, how it is read, and its margin in points."""

    sha256: str
    listed: bool = False
    margin: float = Field(gt=0, le=100)


class Index(BaseModel):
    """`index.json`."""

    suites: dict[str, Kept] = {}
    gate: dict[str, bool] = {}


@dataclass(frozen=True)
class Entry:
    """One suite of a home. `fits` is whether it was made for this home's model, or brought by an operator."""

    name: str
    path: Path
    sha256: str
    margin: float
    listed: bool
    gate: bool
    shipped: bool
    fits: bool

    @property
    def asked(self) -> bool:
        """Whether the gate asks it."""
        return self.gate and self.fits

    @property
    def identity(self) -> str:
        """A hash of its questions and of how they are asked."""
        return hashlib.sha256(f"{self.sha256} {self.listed}".encode()).hexdigest() if self.listed else self.sha256


@dataclass(frozen=True)
class Contents:
    """How many items a suite has, by category and by form; the lines that were left out; items its margin needs."""

    items: int
    categories: dict[str, int]
    forms: dict[str, int]
    bad: tuple[BadLine, ...]
    needed: int


class Suites:
    """The suites of one home."""

    def __init__(self, settings: Settings) -> None:
        self._home, self._data, self._embedded = settings.home, settings.data, settings.embedded

    def entries(self) -> tuple[Entry, ...]:
        """All of them, the shipped ones first. Raises `UsageError` when the index cannot be read."""
        index = self._index()
        shipped = [
            Entry(
                name=name,
                path=path,
                sha256=_hash_of(path),
                margin=MARGIN,
                listed=False,
                gate=index.gate.get(name, True),
                shipped=True,
                fits=(name == TINY) == self._embedded,
            )
            for name, path in ((TINY, self._data / "questions"), (GENERAL, self._data / "suites" / "general.jsonl"))
        ]
        own = [
            Entry(
                name=name,
                path=self._folder / f"{kept.sha256}.jsonl",
                sha256=kept.sha256,
                margin=kept.margin,
                listed=kept.listed,
                gate=index.gate.get(name, True),
                shipped=False,
                fits=True,
            )
            for name, kept in sorted(index.suites.items())
        ]
        return (*shipped, *own)

    def get(self, name: str) -> Entry:
        """The suite of this name. Raises `NotFound`."""
        entries = self.entries()
        found = next((entry for entry in entries if entry.name == name), None)
        if found is None:
            raise NotFound(f"There is no suite {name}. Suites: {', '.join(entry.name for entry in entries)}.")
        return found

    def add(self, file: Path, name: str = "", margin: float | None = None, *, listed: bool = False) -> Entry:
        """Keep a file as a suite. The same file again changes its margin; another under a name in use is refused.

        Raises `UsageError` where no line can be read, or the name cannot be one, and `Conflict`.
        """
        name = name or re.sub(r"[^a-z0-9_]+", "-", file.stem.lower()).strip("-_")
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} cannot be a suite's name: take up to 40 of a–z, 0–9, - and _. Give --name NAME."
            )
        if name in SHIPPED:
            raise Conflict(f"The suite {name} ships. Give yours another name with --name.")
        read = _read(file, listed=listed)
        if not read.items:
            first = read.bad[0] if read.bad else BadLine(1, "the file is empty")
            raise UsageError(f"{file} holds no question that can be read; line {first.line}: {first.reason}.")
        if margin is not None and not 0 < margin <= 100:
            raise UsageError("A margin is a number of percentage points above 0, at most 100.")
        index, sha256 = self._index(), sha256_of(file)
        before = index.suites.get(name)
        if before is not None and (before.sha256, before.listed) != (sha256, listed):
            raise Conflict(f"{name} has other questions already, and evidence that names it. Give another --name.")
        self._folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._folder / f"{sha256}.jsonl", file.read_bytes().decode("utf-8"))
        kept = Kept(sha256=sha256, listed=listed, margin=margin or margin_for(len(read.items)))
        index.suites[name] = kept
        self._write(index)
        return self.get(name)

    def set_gate(self, name: str, on: bool) -> Entry:
        """Whether the gate asks a suite from the next round on. Raises `NotFound`, and `UsageError` on a misfit."""
        entry = self.get(name)
        if on and not entry.fits:
            other = "the model that ships" if name == TINY else "other models than the one that ships"
            raise UsageError(f"The suite {name} was made for {other}; on this home's model it would measure nothing.")
        index = self._index()
        index.gate[name] = on
        self._write(index)
        return self.get(name)

    def contents(self, entry: Entry) -> Contents:
        """What a suite holds. Raises `RoundFailed` when its file cannot be read or was changed."""
        if entry.name == TINY:
            try:
                questions = [each for path in sorted(entry.path.glob("*.jsonl")) for each in load_questions(path)]
            except QuestionFileError as error:
                raise RoundFailed(f"The suite {TINY} cannot be read: {error}.") from error
            categories = Counter(question.category for question in questions)
            return Contents(len(questions), dict(categories), {"checked": len(questions)}, (), needed(entry.margin))
        read = self._checked(entry)
        return Contents(
            items=len(read.items),
            categories=dict(Counter(item.category for item in read.items)),
            forms=dict(read.forms),
            bad=read.bad,
            needed=needed(entry.margin),
        )

    @property
    def asks_tiny(self) -> bool:
        """Whether the gate asks the frozen questions of the model that ships."""
        return self.get(TINY).asked

    def asked(self) -> tuple[Suite, ...]:
        """The other suites that the gate asks. Raises `RoundFailed` when a file cannot be read or was changed."""
        return tuple(self.suite(entry) for entry in self.entries() if entry.asked and entry.name != TINY)

    def suite(self, entry: Entry) -> Suite:
        """A suite's items, in the order in which they are asked. Raises `RoundFailed`."""
        items = in_turn(self._checked(entry).items)
        return Suite(entry.name, entry.identity, items, entry.margin, chosen=not entry.shipped)

    def _checked(self, entry: Entry) -> ReadSuite:
        try:
            if _hash_of(entry.path) != entry.sha256:
                raise RoundFailed(f"The suite {entry.name} was changed on disk. Add its file again.")
            return read_suite(entry.path, listed=entry.listed)
        except (OSError, UnicodeDecodeError) as error:
            raise RoundFailed(f"The suite {entry.name} cannot be read: {error}. Add its file again.") from error

    @property
    def _folder(self) -> Path:
        return self._home / "suites"

    def _index(self) -> Index:
        path = self._folder / "index.json"
        try:
            return Index.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return Index()
        except (OSError, ValidationError) as error:
            raise UsageError(f"{path} cannot be read. Mend or remove it; the files beside it stay.") from error

    def _write(self, index: Index) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._folder / "index.json", index.model_dump_json(indent=1) + "\n")


def _hash_of(path: Path) -> str:
    """The hash of a file; of a folder, that of its question files together."""
    if path.is_dir():
        hashes = "".join(sha256_of(each) for each in sorted(path.glob("*.jsonl")))
        return hashlib.sha256(hashes.encode()).hexdigest()
    return sha256_of(path)


def _read(file: Path, *, listed: bool) -> ReadSuite:
    try:
        return read_suite(file, listed=listed)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text. A suite is JSON, one question a line.") from error
