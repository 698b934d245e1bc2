"""When the worker starts rounds by itself: one row, kept in the database so that every process sees it."""

from __future__ import annotations

from typing import Any

from feedback_app.store.engine import Database
from feedback_app.store.tables import Schedule


class Schedules:
    """Reads and changes the one schedule."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def get(self) -> Schedule:
        """The schedule; switched off until somebody sets it."""
        with self._db.read() as session:
            return session.get(Schedule, 1) or Schedule(id=1)

    def set(self, **columns: Any) -> Schedule:
        """Change columns: enabled, method, every_judgements, every_hours, last_started_at."""
        unknown = columns.keys() - (Schedule.model_fields.keys() - {"id"})
        if unknown:
            raise ValueError(f"the schedule has no column {sorted(unknown)[0]}")
        with self._db.write("schedule") as session:
            schedule = session.get(Schedule, 1)
            if schedule is None:
                schedule = Schedule(id=1)
                session.add(schedule)
            for name, value in columns.items():
                setattr(schedule, name, value)
        return schedule
