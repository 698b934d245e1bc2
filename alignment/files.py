"""Files, read and written as every room does it: lines, JSON lines, whole or not at all, and hashes.

A line ends at a line feed (with or without a carriage return), and nowhere else. `str.splitlines` also breaks at
U+2028, U+0085 and others, which are ordinary text within a JSON string: one such letter in one message would make two
broken lines of a good one. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypedDict, TypeVar

Made = TypeVar("Made")


class Fingerprint(TypedDict):
    """What a manifest says of a file: `sha256` in hex, and its size in `bytes`."""

    sha256: str
    bytes: int


class BrokenLine(ValueError):
    """A line that is not JSON, or not what was expected; `number` counts from 1, `why` is what was raised."""

    def __init__(self, path: Path, number: int, why: Exception) -> None:
        super().__init__(f"{path}, line {number}: {why}")
        self.number, self.why = number, why


def lines_of(text: str) -> list[str]:
    """The lines of a text, without their ends; what follows the last end is a line only when it is not empty."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def ended_lines(text: str) -> list[str]:
    """The lines whose ends are there: what follows the last end is half a line, which somebody still writes."""
    return lines_of(text[: text.rfind("\n") + 1])


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file that are not blank, with their numbers from 1; a byte order mark is left out.

    A line is held at a time. Raises `OSError` or `UnicodeDecodeError` on a file that cannot be read.
    """
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, line.removesuffix("\n").removesuffix("\r")


def json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """The values of a JSON Lines file, with the numbers of their lines. Raises what `made_of_lines` raises."""
    return made_of_lines(path, lambda value: value)


def made_of_lines(path: Path, make: Callable[[Any], Made]) -> Iterator[tuple[int, Made]]:
    """What `make` makes of each value of a JSON Lines file, with the numbers of their lines.

    Raises `BrokenLine` on a line that is not JSON or of which `make` raises `ValueError`, `LookupError` or
    `TypeError`, and `OSError` or `UnicodeDecodeError` on a file that cannot be read.
    """
    for number, line in numbered_lines(path):
        try:
            made = make(json.loads(line))
        except (ValueError, LookupError, TypeError) as error:
            raise BrokenLine(path, number, error) from error
        yield number, made


def last_lines(path: Path, at_most: int, start: int = 0) -> list[str]:
    """The lines in the last `at_most` bytes of a log, from byte `start` on, without blanks; [] where there is none."""
    try:
        with path.open("rb") as log:
            log.seek(max(start, log.seek(0, os.SEEK_END) - at_most))
            return [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        return []


def write_durably(path: Path, text: str) -> None:
    """Write in place and reach the disk before returning. Raises `OSError`."""
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def write_whole(path: Path, text: str) -> None:
    """Write beside `path`, reach the disk, and take its place at once. Raises `OSError`."""
    partial = beside(path)
    write_durably(partial, text)
    partial.replace(path)


def copy_whole(source: Path, target: Path) -> None:
    """Copy a folder to where nothing is yet: `target` is there whole or not at all. Raises `OSError`."""
    partial = beside(target)
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial)
    partial.replace(target)


def beside(path: Path) -> Path:
    """Where a file or folder is written before it takes its place."""
    return path.with_name(f"{path.name}.partial")


def sync(path: Path) -> None:
    """Wait until a file that was written has reached the disk. Raises `OSError`."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex. Raises `OSError`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_all(paths: Iterable[Path]) -> str:
    """One SHA-256 over the names and contents of files, in the order of their names. Raises `OSError`."""
    total = hashlib.sha256()
    for path in sorted(paths, key=lambda path: path.name):
        total.update(path.name.encode() + b"\0" + bytes.fromhex(sha256_of(path)))
    return total.hexdigest()


def fingerprint(path: Path) -> Fingerprint:
    """A file's hash and size. Raises `OSError`."""
    return {"sha256": sha256_of(path), "bytes": path.stat().st_size}
