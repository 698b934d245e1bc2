"""Which files of a folder are read: a saved dataset, the parts of one table, or its one file of data."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from alignment.errors import ReadingProblem

_PART = re.compile(r"(?P<stem>.+)-(?P<part>\d{5})-of-(?P<parts>\d{5})(?P<ending>\.parquet|\.arrow)")
# What lies beside data and is none.
_BESIDE = {"readme.md", "license", "license.txt", "license.md", "dataset_info.json", "dataset_infos.json", "state.json"}
_MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class Found:
    """The files to read, as one table where they are several; `container` is "" where their first bytes say it."""

    files: tuple[Path, ...]
    container: str = ""
    notes: tuple[str, ...] = ()


def files_in(folder: Path) -> Found:
    """The files that a folder stands for. Raises `ReadingProblem` where that is none, or more than one."""
    if (folder / "dataset_dict.json").is_file():
        splits = [str(split) for split in _listed(folder / "dataset_dict.json", "splits")]
        files = [file for split in splits for file in _saved(_inside(folder, split))]
        note = f"All splits were read: {', '.join(splits)}." if len(splits) > 1 else f"The split {splits[0]} was read."
        return Found(tuple(files), "saved dataset", (note,))
    if (folder / "state.json").is_file():
        return Found(tuple(_saved(folder)), "saved dataset")
    found = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())
    data = [path for path in found if path.name.lower() not in _BESIDE]
    if len(data) > 1 and _parts_of_one(data):
        return Found(tuple(data), "", (f"The {len(data)} parts of one table were read.",))
    if len(data) == 1:
        return Found((data[0],), "", (f"The folder's one file of data was read: {data[0].name}.",))
    if not data:
        raise ReadingProblem(f"{folder} is a folder without a file of data. Name the file itself.")
    names = ", ".join(path.name for path in data[:_MOST_NAMED])
    more = f" and {len(data) - _MOST_NAMED} more" if len(data) > _MOST_NAMED else ""
    raise ReadingProblem(f"{folder} is a folder of {len(data)} files ({names}{more}). Name one of them.")


def _parts_of_one(files: list[Path]) -> bool:
    """Whether these are all parts of one table, numbered as the hub numbers them."""
    parts = [_PART.fullmatch(file.name) for file in files]
    named = [(part["stem"], int(part["parts"]), part["ending"]) for part in parts if part]
    return len(named) == len(files) and len(set(named)) == 1 and named[0][1] == len(files)


def _saved(folder: Path) -> list[Path]:
    """The arrow files of one saved split, in the order of its rows."""
    names = [
        entry.get("filename") for entry in _listed(folder / "state.json", "_data_files") if isinstance(entry, dict)
    ]
    files = [_inside(folder, str(name)) for name in names]
    missing = next((file for file in files if not file.is_file()), None)
    if missing is not None:
        raise ReadingProblem(f"{folder} is a saved dataset without its file {missing.name}. Save it again.")
    if not files:
        raise ReadingProblem(f"{folder} is a saved dataset without rows. Save one that has some.")
    return files


def _listed(file: Path, key: str) -> list[object]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise ReadingProblem(f"{file} does not say what the saved dataset holds. Save it again.") from error
    if not isinstance(found, list) or not found:
        raise ReadingProblem(f"{file} names nothing under {key}. Save the dataset again.")
    return found


def _inside(folder: Path, name: str) -> Path:
    """A file or folder of this folder, and of no other: the name comes from a file."""
    if not name or name in (".", "..") or "/" in name or "\x00" in name:
        raise ReadingProblem(f"{folder} names a file outside of itself ({name[:100]!r}). Save the dataset again.")
    return folder / name
