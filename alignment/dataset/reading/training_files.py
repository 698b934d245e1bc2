"""Which files of a folder a stage reads, and which it does not. Looks at names alone; opens nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alignment.dataset.reading.training_columns import TRAIN, split_of
from alignment.errors import SnapshotProblem

TABLES = ("pairs", "marks", "sft", "groups")
_DATA = {"jsonl", "ndjson", "json", "csv", "tsv", "parquet", "arrow", "feather"}
_AROUND = {"gz", "zst", "bz2", "xz", "zip"}
_FIRST = ("jsonl", "ndjson", "json", "csv", "tsv")  # of two files of one name; the other is its twin
# What lies beside rows and is none: a snapshot's and an artifact's papers, those of `datasets`, a model's.
_PAPERS = {
    "manifest",
    "spec",
    "progress",
    "error",
    "judgements",
    "dataset_info",
    "dataset_infos",
    "dataset_dict",
    "state",
}
_SAVED = ("dataset_dict.json", "state.json")  # a folder that `datasets` has saved is one file, so to say


@dataclass(frozen=True, slots=True)
class TrainingFile:
    """A file to read, the table that its name speaks of (or none), and the side; `named` as it was asked for."""

    path: Path
    table: str = ""
    split: str = TRAIN
    named: bool = False


def training_files(data: Path, asked: Sequence[str]) -> tuple[list[TrainingFile], list[str]]:
    """The files of a folder that hold what is `asked` for, and the names of those that are not read.

    `asked` are names without endings, `pairs` or `train` for instance: files so called are read and no others; where
    there are none, all are. A file is read itself. Raises `SnapshotProblem` where there is nothing.
    """
    if data.is_file() or any((data / name).is_file() for name in _SAVED):
        return [_file(data)], []
    if not data.is_dir():
        raise SnapshotProblem(
            f"{data} does not exist; name a folder that holds {asked[0]}.jsonl, or a file of feedback."
        )
    found: dict[str, list[Path]] = {}
    for path in sorted(data.iterdir()):
        if path.is_file() and _holds_rows(path):
            found.setdefault(names_of(path)[0], []).append(path)
    for paths in found.values():
        paths.sort(key=lambda path: _rank(path))
    named = [name for name in found if name in asked]
    wanted = named or list(found)
    if not wanted:
        return [_file(_only(data, asked))], []
    twins = [path.name for name in wanted for path in found[name][1:] if _rank(path) < len(_FIRST)]
    others = [path.name for name in found if name not in wanted for path in found[name][:1]]
    files = [_file(found[name][0], named=bool(named)) for name in wanted]
    return files, sorted(twins + [each for each in others if not _ours(each)])


def holds_nothing(data: Path) -> bool:
    """Whether this is a folder without a file of its own."""
    return data.is_dir() and not any(path.is_file() for path in data.iterdir())


def has_table(data: Path, table: str) -> bool:
    """Whether a folder has a file for this table."""
    return data.is_dir() and any(
        names_of(path)[0] == table for path in data.iterdir() if path.is_file() and _holds_rows(path)
    )


def names_of(path: Path) -> list[str]:
    """A file's name and its endings, in small letters: ["pairs", "jsonl", "gz"]."""
    return path.name.lower().split(".")


def _only(folder: Path, asked: Sequence[str]) -> Path:
    """The one file of a folder, whatever it is called: what it is shows in its first bytes."""
    files = [path for path in folder.iterdir() if path.is_file() and names_of(path)[0] not in ("", *_PAPERS)]
    if len(files) != 1:
        raise SnapshotProblem(f"{folder} holds no file of feedback: put {asked[0]}.jsonl into it, or name a file.")
    return files[0]


def _file(path: Path, *, named: bool = False) -> TrainingFile:
    name = names_of(path)[0]
    return TrainingFile(path, name if name in TABLES else "", split_of(name), named)


def _holds_rows(path: Path) -> bool:
    name, *endings = names_of(path)
    while endings and endings[-1] in _AROUND:
        endings.pop()
    return bool(name) and name not in _PAPERS and bool(endings) and endings[-1] in _DATA


def _rank(path: Path) -> int:
    return next((place for place, ending in enumerate(_FIRST) if ending in names_of(path)[1:]), len(_FIRST))


def _ours(name: str) -> bool:
    return name.lower().split(".")[0] in TABLES
