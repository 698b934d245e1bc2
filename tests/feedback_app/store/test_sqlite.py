"""SQLite: outside the range of its WAL bug, or without WAL; always durable, always with foreign keys."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

from feedback_app.errors import Conflict, Unavailable
from feedback_app.store import sqlite
from feedback_app.store.database import open_store
from feedback_app.store.engine import Database, create
from feedback_app.store.schema import upgrade
from feedback_app.store.tables import Ticket


@pytest.mark.parametrize(
    ("version", "safe"),
    [((3, 6, 23), True), ((3, 7, 0), False), ((3, 40, 1), False), ((3, 51, 2), False), ((3, 51, 3), True)],
)
def test_the_range_of_the_bug_is_known(version: tuple[int, ...], safe: bool) -> None:
    assert sqlite.wal_is_safe(version) is safe
    module: Any = SimpleNamespace(sqlite_version_info=version)
    assert sqlite.journal_mode(module) == ("wal" if safe else "delete")


def test_the_newer_library_is_used() -> None:
    chosen = sqlite.sqlite_module()
    assert chosen.sqlite_version_info >= sqlite3.sqlite_version_info


def pragmas(path: Path, module: Any) -> dict[str, Any]:
    engine = create(f"sqlite:///{path}", module)
    try:
        with engine.connect() as connection:
            names = ("journal_mode", "synchronous", "foreign_keys")
            return {name: connection.execute(text(f"PRAGMA {name}")).scalar() for name in names}
    finally:
        engine.dispose()


def test_every_connection_is_durable_and_checks_foreign_keys(tmp_path: Path) -> None:
    module = sqlite.sqlite_module()
    mode = sqlite.journal_mode(module)
    assert pragmas(tmp_path / "a.db", module) == {"journal_mode": mode, "synchronous": 2, "foreign_keys": 1}


class OldSqlite:
    """The interpreter's own library, reporting a version inside the range of the bug."""

    sqlite_version_info = (3, 40, 1)

    def __getattr__(self, name: str) -> Any:
        return getattr(sqlite3, name)


def test_an_affected_library_works_without_wal(tmp_path: Path) -> None:
    old: Any = OldSqlite()
    assert pragmas(tmp_path / "a.db", old)["journal_mode"] == "delete"
    engine = create(f"sqlite:///{tmp_path / 'a.db'}", old)
    upgrade(engine)
    database = Database(engine, lambda: 1.0)
    with database.write() as session:
        session.execute(text("INSERT INTO beat (name, at, state) VALUES ('app', 1, '{}')"))
    with database.read() as session:
        assert session.execute(text("SELECT count(*) FROM beat")).scalar() == 1
    engine.dispose()


def test_an_affected_library_refuses_a_database_that_stays_in_wal(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    keeper = sqlite3.connect(path)
    keeper.execute("PRAGMA journal_mode=wal")
    keeper.execute("CREATE TABLE x (y)")
    keeper.execute("BEGIN")
    keeper.execute("SELECT * FROM x").fetchall()
    old: Any = OldSqlite()
    engine = create(f"sqlite:///{path}", old)
    with pytest.raises(Unavailable), Database(engine, lambda: 1.0).read() as session:
        session.execute(text("SELECT 1"))
    keeper.close()
    engine.dispose()


def test_a_row_that_points_nowhere_is_refused(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'a.db'}")
    with pytest.raises(Conflict), store.database.write() as session:
        session.add(Ticket(task_id="none", person_id="none", order=[], created_at=0.0, expires_at=0.0))
    store.close()


def test_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'a.db'}")
    ada = store.people.add("ada", "annotator", "")
    conversation = store.conversations.add_conversation(ada.id, "chat")
    with store.database.read() as session:
        pages = session.execute(text("PRAGMA page_count")).scalar()
    original = store.database.engine.pool._creator  # the limit below must reach every later connection
    store.database.engine.dispose()

    def limited(*arguments: Any) -> Any:
        connection = original(*arguments)
        connection.execute(f"PRAGMA max_page_count={pages + 2}")
        return connection

    store.database.engine.pool._creator = limited
    with pytest.raises(Unavailable, match="full"):
        store.conversations.add_message(conversation.id, None, "user", "x" * 100_000)
    store.close()
