"""The prompts of a home: which set people compare and rank on, methods sample from, and evaluations hold out.

Two sets ship: `tiny`, made for the embedded model, and `starter`, general ones for every other model. A team's own come
by `alignloop prompts add` or ALIGNLOOP_PROMPTS and are kept in the home, split once into two files of JSON lines that
never change again, so that a round's prompts can be named. This module reads and writes those files, and asks nobody.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from alignment.dataset.reading.prompts import (
    BadRow,
    Prompt,
    PromptFile,
    by_turns,
    held_out,
    read_prompts,
    written_prompts,
)
from alignment.errors import ReadingProblem
from alignment.files import sha256_of, sha256_of_all, write_durably, write_whole
from feedback_app.domain.reports import PromptsUsed
from feedback_app.errors import Conflict, NotFound, Unavailable, UsageError
from feedback_app.settings import Settings

TINY, STARTER = "tiny", "starter"
TRAIN, HELD_OUT = "train.jsonl", "held_out.jsonl"
IN_USE = "in_use.json"
FILES = (".jsonl", ".json", ".csv", ".tsv", ".txt", ".parquet", ".arrow", ".gz", ".zip")  # what a folder is read for


@dataclass(frozen=True, slots=True)
class PromptSet:
    """A set of prompts: two files of JSON lines, and whether its held-out part is asked in the file's order."""

    name: str
    train: Path
    held_out: Path
    in_order: bool = True

    def training(self) -> tuple[Prompt, ...]:
        """What people compare and rank on, and methods sample from. Raises `UsageError` on a damaged file."""
        return _written(self.train)

    def evaluation(self) -> tuple[Prompt, ...]:
        """What only evaluations ask, the first few of all kinds. Raises `UsageError` on a damaged file."""
        found = _written(self.held_out)
        return found if self.in_order else by_turns(found)

    def record(self) -> PromptsUsed:
        """As a round keeps it."""
        files = [self.train, self.held_out]
        return {
            "set": self.name,
            "hash": sha256_of_all(files),
            "train": len(self.training()),
            "held_out": len(self.evaluation()),
        }


@dataclass(frozen=True, slots=True)
class Added:
    """A set that was brought, and the rows of its file that are no prompts. `new`: it was not there before."""

    set: PromptSet
    bad: Sequence[BadRow]
    new: bool


def shipped_sets(data: Path) -> Mapping[str, PromptSet]:
    """The sets that ship, by name."""
    folder = data / "prompts"
    starter = folder / STARTER
    return {
        TINY: PromptSet(TINY, folder / "compare.jsonl", folder / "eval.jsonl"),
        STARTER: PromptSet(STARTER, starter / TRAIN, starter / HELD_OUT, in_order=False),
    }


def kept_sets(home: Path) -> Mapping[str, PromptSet]:
    """The sets that were brought to this home, by name."""
    folders = sorted(
        path.parent for path in _folder(home).glob(f"*/{HELD_OUT}") if not path.parent.name.startswith(".")
    )
    return {folder.name: _kept(folder) for folder in folders}


def all_sets(settings: Settings) -> Mapping[str, PromptSet]:
    """Every set that can be used here, by name."""
    return {**shipped_sets(settings.data), **kept_sets(settings.home)}


def prompt_set(settings: Settings) -> PromptSet:
    """The set in use: ALIGNLOOP_PROMPTS, else what `prompts use` chose, else the shipped one that fits the model.

    Raises `UsageError` or `NotFound` on one that cannot be read or is not there any more.
    """
    if settings.prompts is not None:
        path = settings.prompts.expanduser()
        return add_prompts(settings.home, path, f"{_slug(path)}-{_content(path)[:8]}").set
    name = chosen(settings.home) or (TINY if settings.embedded else STARTER)
    return named_set(settings, name)


def named_set(settings: Settings, name: str) -> PromptSet:
    """The set of this name. Raises `NotFound`."""
    found = all_sets(settings)
    if name not in found:
        raise NotFound(f"There is no set of prompts called {name}. There are: {', '.join(found)}.")
    return found[name]


def chosen(home: Path) -> str:
    """The set that `prompts use` chose; empty where nobody chose."""
    try:
        return str(json.loads((_folder(home) / IN_USE).read_text(encoding="utf-8"))["set"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def choose(settings: Settings, name: str) -> PromptSet:
    """Use this set from now on. Raises `NotFound`, `Conflict` while ALIGNLOOP_PROMPTS decides, or `Unavailable`."""
    if settings.prompts is not None:
        raise Conflict(f"ALIGNLOOP_PROMPTS names {settings.prompts}, and decides. Unset it first.")
    found = named_set(settings, name)
    folder = _folder(settings.home)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(folder / IN_USE, json.dumps({"set": name}) + "\n")
    except OSError as error:
        raise _unwritable(folder, error) from error
    return found


def add_prompts(home: Path, path: Path, name: str = "") -> Added:
    """Keep a file's (or folder's) prompts as a set; its name is the file's unless one is given.

    A folder with `train.jsonl` and `held_out.jsonl` keeps its own split; anything else is split by hash. The set
    appears whole or not at all. Raises `UsageError` on what cannot be read or has fewer than two prompts, `Conflict`
    when the name belongs to other prompts, and `Unavailable` when nothing can be written.
    """
    name = name or _slug(path)
    if name in (TINY, STARTER) or not re.fullmatch(r"[\w-][\w.-]*", name):
        raise UsageError(f"A set cannot be called {name!r}. Give it another name with --name.")
    target, source = _folder(home) / name, _content(path)
    if target.is_dir():
        if _source(target) != source:
            raise Conflict(f"There is a set called {name} with other prompts. Give this one another name with --name.")
        return Added(_kept(target), (), new=False)
    train, aside, bad = _split(path)
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = Path(mkdtemp(dir=target.parent, prefix=".new-"))
        try:
            for file, prompts in ((TRAIN, train), (HELD_OUT, aside)):
                lines = [json.dumps(prompt.to_record(), ensure_ascii=False) + "\n" for prompt in prompts]
                write_durably(made / file, "".join(lines))
            write_durably(made / "source.json", json.dumps({"file": str(path), "sha256": source}) + "\n")
            made.rename(target)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        if not target.is_dir():  # else another process kept the same prompts at this moment
            raise _unwritable(target, error) from error
    return Added(_kept(target), bad, new=True)


def _split(path: Path) -> tuple[Sequence[Prompt], Sequence[Prompt], Sequence[BadRow]]:
    """The prompts to train on, those held out, and the bad rows."""
    if (path / TRAIN).is_file() and (path / HELD_OUT).is_file():
        train, aside = _read(path / TRAIN), _read(path / HELD_OUT)
        both = {prompt.messages for prompt in aside.prompts}
        kept = [prompt for prompt in train.prompts if prompt.messages not in both]
        if not kept:
            raise UsageError(f"Every prompt of {path / TRAIN} is held out too. Take them out of {HELD_OUT}.")
        return kept, aside.prompts, (*train.bad, *aside.bad)
    files = [_read(file) for file in _files(path)]
    prompts = list({prompt.messages: prompt for file in files for prompt in file.prompts}.values())
    if len(prompts) < 2:
        raise UsageError(f"{path} holds one prompt. A set needs two at least: one of them is held out.")
    return *held_out(prompts), [row for file in files for row in file.bad]


def _files(path: Path) -> list[Path]:
    """A file, or the files of a folder that may hold prompts. Raises `UsageError` where there are none."""
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in FILES and not file.name.startswith("."))
    if not found:
        raise UsageError(f"{path} holds no file of prompts: {', '.join(FILES)}.")
    return found


def _content(path: Path) -> str:
    """SHA-256 of a file, or of the files of a folder with their names. Raises `UsageError`."""
    try:
        return sha256_of_all(_files(path)) if path.is_dir() else sha256_of(path)
    except OSError as error:
        raise UsageError(f"The prompts in {path} cannot be read: {error.strerror or error}.") from error


def _read(path: Path) -> PromptFile:
    try:
        return read_prompts(path)
    except ReadingProblem as error:
        raise UsageError(str(error)) from error


def _written(path: Path) -> tuple[Prompt, ...]:
    try:
        return written_prompts(path)
    except ReadingProblem as error:
        raise UsageError(str(error)) from error


def _source(folder: Path) -> str:
    try:
        return str(json.loads((folder / "source.json").read_text(encoding="utf-8"))["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _kept(folder: Path) -> PromptSet:
    return PromptSet(folder.name, folder / TRAIN, folder / HELD_OUT, in_order=False)


def _folder(home: Path) -> Path:
    return home / "prompts"


def _slug(path: Path) -> str:
    """A name made of a file's."""
    return re.sub(r"[^\w-]+", "-", path.name.split(".")[0]).strip("-").lower() or "prompts"


def _unwritable(path: Path, error: OSError) -> Unavailable:
    return Unavailable(f"{path} cannot be written: {error.strerror or error}. Free some space, or correct its rights.")
