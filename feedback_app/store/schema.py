"""Bringing a database to this program's schema, by Alembic migrations that ship inside the package.

What is not done here: going back. A database of a newer alignloop is refused and left as it is.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from feedback_app.errors import Unavailable
from feedback_app.store.engine import create, unavailable

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 7_301_559


def alembic_config() -> Config:
    """Alembic's settings, without a file."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def migrate(url: str, revision: str = "head") -> None:
    """Upgrade the database at `url` to `revision`. Raises `Unavailable` on a newer or unreachable one."""
    engine = create(url)
    try:
        upgrade(engine, revision)
    finally:
        engine.dispose()


def upgrade(engine: Engine, revision: str = "head") -> None:
    """`migrate` on an engine: one transaction, so processes that start together take turns."""
    config = alembic_config()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            current = MigrationContext.configure(connection).get_current_heads()
            newer = sorted(set(current) - known)
            if newer:
                raise Unavailable(
                    f"The database has schema {newer[0]}, which this alignloop does not know: a newer one made it. "
                    "Install that version, or point DATABASE_URL or ALIGNLOOP_HOME elsewhere."
                )
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    except DBAPIError as error:
        raise unavailable(error) from error
