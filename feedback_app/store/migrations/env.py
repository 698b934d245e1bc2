"""Alembic runs this file. The connection is given by `store.schema`, which also owns the transaction."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

from feedback_app.store import tables

assert tables.Person.metadata is SQLModel.metadata  # importing the tables is what fills the metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
)
context.run_migrations()
