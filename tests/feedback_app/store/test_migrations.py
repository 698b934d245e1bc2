"""Migrations: from nothing, from each one before, and never over a newer schema."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text
from sqlmodel import SQLModel

from feedback_app.errors import Unavailable, UsageError
from feedback_app.store.database import migrate, open_store
from feedback_app.store.engine import create
from feedback_app.store.schema import alembic_config


def revisions() -> list[str]:
    """Every migration, oldest first."""
    scripts = ScriptDirectory.from_config(alembic_config()).walk_revisions()
    return [script.revision for script in scripts][::-1]


def current(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def test_there_is_one_line_of_migrations() -> None:
    script = ScriptDirectory.from_config(alembic_config())
    assert len(script.get_heads()) == 1
    assert len(script.get_bases()) == 1


def test_the_migrated_schema_is_the_one_of_the_tables(database_url: str) -> None:
    migrate(database_url)
    engine = create(database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, SQLModel.metadata) == []
    engine.dispose()


@pytest.mark.parametrize("start", revisions()[:-1])
def test_every_migration_follows_the_one_before_and_keeps_rows(database_url: str, start: str) -> None:
    migrate(database_url, start)
    engine = create(database_url)
    assert current(engine) == start
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO person (id, name, role, password_hash, scripted, disabled, created_at) "
                "VALUES ('p', 'ada', 'operator', '', false, false, 1.5)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO task (id, kind, candidates, wanted, scripted, created_at) "
                "VALUES ('t', 'like', '[\"m\"]', 1, false, 1.5)"
            )
        )
        connection.execute(
            text(
                'INSERT INTO ticket (id, task_id, person_id, "order", created_at, expires_at) '
                "VALUES ('k', 't', 'p', '[\"m\"]', 1.5, 9.5)"
            )
        )
    engine.dispose()
    store = open_store(database_url)
    found = store.tasks.ticket("k")
    assert found is not None
    assert (found[0].person_id, found[0].order, found[0].shown_at) == ("p", ["m"], None)
    assert current(store.database.engine) == revisions()[-1]
    store.close()


def test_what_was_typed_as_a_name_and_keys_of_the_disabled_do_not_survive(database_url: str) -> None:
    migrate(database_url, "0008")
    engine = create(database_url)
    with engine.begin() as connection:
        for name, disabled in (("ada", "false"), ("ben", "true")):
            connection.execute(
                text(
                    "INSERT INTO person (id, name, role, password_hash, scripted, disabled, created_at) "
                    f"VALUES ('{name}', '{name}', 'chatter', '', false, {disabled}, 1.5)"
                )
            )
            connection.execute(text(f"INSERT INTO api_key VALUES ('key {name}', '{name}', 1.5, NULL)"))
        connection.execute(text("INSERT INTO wrong_password VALUES (1, 'my own pass phrase', '10.0.0.1', 1.5)"))
    engine.dispose()
    store = open_store(database_url)
    assert store.guesses.count() == 0
    store.people.set_disabled("ben", False)
    assert store.people.person_by_key("key ben") is None
    assert store.people.person_by_key("key ada") is not None
    store.close()
    if store.database.is_sqlite:
        file = Path(str(store.database.engine.url.database))
        assert [path.name for path in file.parent.iterdir() if b"my own pass phrase" in path.read_bytes()] == []


def test_opening_again_changes_nothing(database_url: str) -> None:
    first = open_store(database_url)
    first.people.add("ada", "operator", "")
    first.close()
    second = open_store(database_url)
    assert [person.name for person in second.people.listing()] == ["ada"]
    second.close()


def test_a_newer_schema_is_refused_and_left_as_it_is(database_url: str) -> None:
    migrate(database_url)
    engine = create(database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Unavailable, match=r"9999.*newer"):
        open_store(database_url)
    assert current(engine) == "9999"
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("mysql://somewhere/x", "mysql"),
        ("not a url", "not a database address"),
        ("sqlite://", "sqlite:///path"),
    ],
)
def test_another_kind_of_database_is_refused_with_a_sentence(url: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        open_store(url)


def test_an_unreachable_server_is_a_sentence() -> None:
    with pytest.raises(Unavailable, match="The database does not work"):
        open_store("postgresql://nobody@127.0.0.1:1/none")


def test_a_file_that_is_no_database_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "alignloop.db"
    path.write_bytes(b"this is not SQLite at all" * 100)
    with pytest.raises(Unavailable, match="The database does not work"):
        open_store(f"sqlite:///{path}")


def test_the_migrations_ship_inside_the_package() -> None:
    import feedback_app.store

    folder = Path(str(SimpleNamespace(**vars(feedback_app.store)).__file__)).parent / "migrations"
    assert (folder / "env.py").is_file()
    assert [path.name[:4] for path in sorted((folder / "versions").glob("0*.py"))] == revisions()
