"""Processes saying that they live, and what they see; one row per process."""

from __future__ import annotations

from sqlmodel import col, select

from feedback_app.domain.beats import BeatState
from feedback_app.store.engine import Database
from feedback_app.store.tables import Beat


class Heartbeats:
    """Reads and writes heartbeats."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def beat(self, name: str, state: BeatState) -> Beat:
        """Process `name` (app, worker, vllm) lives now and sees `state`, JSON."""
        with self._db.write("beat") as session:
            row = session.get(Beat, name)
            if row is None:
                row = Beat(name=name, at=self._db.now(), state=dict(state))
                session.add(row)
            else:
                row.at, row.state = self._db.now(), dict(state)
        return row

    def all(self) -> list[Beat]:
        """Every process's last beat, by name."""
        with self._db.read() as session:
            return list(session.exec(select(Beat).order_by(col(Beat.name))))
