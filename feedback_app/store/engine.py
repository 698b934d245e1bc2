"""One database: its engine and its transactions.

A call of the store is one transaction: `read()` for looking, `write()` for changing, `frozen()` for a long
look at one moment. SQLite writers begin IMMEDIATE, so that reading before writing cannot end in a lock
error; on PostgreSQL a write may name locks, held until its commit. No queries here.
"""

from __future__ import annotations

import re
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

from sqlalchemy import Engine, create_engine, event, func, select
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    InternalError,
    NoSuchModuleError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlmodel import Session

from feedback_app.errors import Conflict, Unavailable, UsageError
from feedback_app.private import make_database
from feedback_app.store import sqlite

_BEGIN = "alignloop_begin"
_UNWRITABLE = re.compile(r"read-?only|\bfull\b|no space left", re.IGNORECASE)
# What people are told who do not run this: the reason may name the database's address.
FULL = (
    "The database cannot be written now: its disk is full, or it is read-only. Try again later; whoever runs this "
    "finds the reason in the log."
)
AWAY = "The database cannot be reached now. Try again in a moment; whoever runs this finds the reason in the log."


def parse_url(url: str) -> URL:
    """The URL with the driver we use. Raises `UsageError` on anything but SQLite and PostgreSQL."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise UsageError(
            "DATABASE_URL is not a database address. Write postgresql://user:password@host/name."
        ) from error
    backend = parsed.drivername.split("+")[0]
    if backend in ("postgres", "postgresql"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed.set(drivername="sqlite")
    raise UsageError(f"DATABASE_URL begins with {parsed.drivername}. Use postgresql://… or sqlite:///path/to/file.")


def create(url: str, module: ModuleType | None = None) -> Engine:
    """An engine for this URL. `module` replaces the SQLite library, for tests. Opens no connection."""
    parsed = parse_url(url)
    if parsed.drivername == "sqlite":
        return _create_sqlite(parsed, module or sqlite.sqlite_module())
    try:
        return create_engine(parsed, pool_size=10, max_overflow=30, pool_pre_ping=True)
    except (NoSuchModuleError, ImportError) as error:
        raise Unavailable("PostgreSQL needs the package psycopg. Install psycopg[binary] and start again.") from error


def _create_sqlite(url: URL, module: ModuleType) -> Engine:
    path = Path(str(url.database))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_database(path)
    except OSError as error:
        raise Unavailable(
            f"The database {path} cannot be made: {error.strerror}. Check DATABASE_URL or ALIGNLOOP_HOME.", outside=AWAY
        ) from error
    engine = create_engine(
        url,
        module=module,
        connect_args={"timeout": sqlite.BUSY_TIMEOUT_S, "check_same_thread": False},
        pool_size=10,
        max_overflow=60,
    )
    mode = sqlite.journal_mode(module)

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        sqlite.prepare(connection, mode)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN IMMEDIATE"))

    return engine


class Database:
    """An engine, a clock, and transactions. Safe to use from threads."""

    def __init__(self, engine: Engine, clock: Callable[[], float]) -> None:
        self.engine = engine
        self.now = clock
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._reader = engine.execution_options(**{_BEGIN: "BEGIN"}) if self.is_sqlite else engine
        # SQLite has one writer: queueing in order here is fairer and faster than its busy timeout.
        self._writer = threading.Lock() if self.is_sqlite else nullcontext()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for looking only; rows it returns stay usable after it has closed."""
        with _sentences(), Session(self._reader, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def frozen(self) -> Iterator[Session]:
        """A session that sees one moment for as long as it stays open, whatever others commit meanwhile."""
        with _sentences(), Session(self._reader, expire_on_commit=False) as session:
            if not self.is_sqlite:
                session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            yield session

    @contextmanager
    def write(self, *locks: str) -> Iterator[Session]:
        """A session that commits when the block ends and rolls back when it raises.

        On PostgreSQL the named locks are held until the commit; SQLite has one writer anyway.
        """
        with _sentences(), self._writer, Session(self.engine, expire_on_commit=False) as session, session.begin():
            if not self.is_sqlite:
                for name in sorted(locks):
                    session.execute(select(func.pg_advisory_xact_lock(zlib.crc32(name.encode()))))
            yield session


@contextmanager
def _sentences() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise Conflict("This contradicts something that is already stored. Reload and try again.") from error
    except DataError as error:
        raise UsageError(f"The database cannot keep this value: {error.orig}.") from error
    except (OperationalError, InternalError, PoolTimeout) as error:  # internal: a PostgreSQL that is read-only
        raise unavailable(error) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise unavailable(error) from error
        raise


def unavailable(error: Exception) -> Unavailable:
    """The sentence for a database that does not answer or cannot be written."""
    reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    return Unavailable(
        f"The database does not work: {reason}. Check DATABASE_URL, the server and the disk's free space.",
        outside=FULL if _UNWRITABLE.search(reason) else AWAY,
    )
