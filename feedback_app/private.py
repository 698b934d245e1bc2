"""The home belongs to whoever runs alignloop: nobody else on this machine may read what people said there.

Folders are 0700 and files 0600, whatever the umask was, and an older home is mended when a process starts in it. One
rule makes an exception: a home with the set-group-id bit (`chmod 2770`) is shared with its group on purpose, and then
only everybody else is shut out. Whoever may become this user, and root, read everything; encryption is not done here.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

EVERYBODY = 0o007
GROUP = 0o070


def shut_out(home: Path) -> int:
    """The permission bits that nothing in this home may have: those of everybody else, and of the group unless it
    was given the home."""
    try:
        mode = home.stat().st_mode
    except OSError:
        return GROUP | EVERYBODY
    return EVERYBODY if mode & stat.S_ISGID and mode & GROUP else GROUP | EVERYBODY


def make_home(home: Path) -> None:
    """Make the home, readable by its owner alone, and take too wide bits from one that is there. Raises `OSError`."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    _mend(home, shut_out(home))


def keep_private(home: Path) -> None:
    """For a process that lives in this home: everything that it or its children make is private, and so is all that
    is there already. What belongs to another user is left alone."""
    bits = shut_out(home)
    os.umask(bits)
    for path in (home, *_inside(home)):
        _mend(path, bits)


def too_open(home: Path) -> Path | None:
    """The first thing in the home that others may read or write; None when nothing is."""
    bits = shut_out(home)
    return next((path for path in (home, *_inside(home)) if _mode(path) & bits), None)


def make_database(path: Path) -> None:
    """Make an empty file for SQLite, private as its folder says, or mend the one that is there. Raises `OSError`.

    SQLite gives its journal, write-ahead log and shared memory the permissions of the database that it finds.
    """
    bits = shut_out(path.parent)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o660 & ~bits))
    except FileExistsError:
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm", f"{path.name}-journal"):
            _mend(path.with_name(name), bits)


def _inside(home: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(home):
        for name in (*folders, *files):
            path = Path(folder, name)
            if not path.is_symlink():
                yield path


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except OSError:
        return 0  # it went meanwhile


def _mend(path: Path, bits: int) -> None:
    mode = _mode(path)
    if mode & bits:
        with contextlib.suppress(OSError):  # it went meanwhile, or is somebody else's
            path.chmod(stat.S_IMODE(mode) & ~bits)
