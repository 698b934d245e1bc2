"""Which SQLite is used, and how each connection to it is set up.

SQLite 3.7.0 to 3.51.2 can corrupt a database in WAL mode when the log is reset while another
connection writes. So the newer library that ships with `pysqlite3` is used where it is installed; with an
older one the rollback journal is used, which is slower and not affected. This module opens nothing.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from feedback_app.errors import Unavailable

WAL_BUG = ((3, 7, 0), (3, 51, 2))
BUSY_TIMEOUT_S = 30.0


def wal_is_safe(version: tuple[int, ...]) -> bool:
    """Whether this SQLite version lies outside the range of the WAL-reset corruption bug."""
    first, last = WAL_BUG
    return not first <= version <= last


def sqlite_module() -> ModuleType:
    """`pysqlite3` where it is installed and newer than the interpreter's own `sqlite3`, else `sqlite3`."""
    own = importlib.import_module("sqlite3")
    try:
        bundled = importlib.import_module("pysqlite3.dbapi2")
    except ImportError:
        return own
    newer: bool = bundled.sqlite_version_info > own.sqlite_version_info
    return bundled if newer else own


def journal_mode(module: ModuleType) -> str:
    """`wal` where it is safe with this library, else `delete`."""
    return "wal" if wal_is_safe(tuple(module.sqlite_version_info)) else "delete"


def prepare(connection: Any, mode: str) -> None:
    """Set up one raw connection: journal, full durability, foreign keys, and no implicit transactions.

    Raises `Unavailable` when the database stays in another journal mode, for instance because an older
    process still holds it open in WAL.
    """
    connection.isolation_level = None  # we send BEGIN ourselves; the driver's own would be deferred
    cursor = connection.cursor()
    try:
        (now,) = cursor.execute(f"PRAGMA journal_mode={mode}").fetchone()
        if now != mode:
            raise Unavailable(
                f"The database stays in journal mode {now} where {mode} is needed. "
                "Stop every process that uses it and start again."
            )
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
    finally:
        cursor.close()
