"""Tickets that are promised before their answers are there.

Who is about to be answered is told a ticket only when a row here says that something can be stored. The ticket
itself is stored with the answer's text, in the transaction that takes the row away: so what is only promised cannot
be judged, exported or trained on, whatever happens to the process meanwhile. A promise that nobody kept is taken
away once it has expired. What is not done here: waiting (`collect.reserving`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import delete
from sqlmodel import Session, col, select

from feedback_app.errors import Unavailable
from feedback_app.store.engine import AWAY, FULL, Database
from feedback_app.store.tables import Reservation

SPARE_BYTES = 32 * 2**20
"""Room that new answers leave on the disk of a SQLite database, so that those on their way can still be stored."""


class Reservations:
    """Queries about promised tickets."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, promised: Iterable[tuple[str, str]], lifetime_s: float) -> None:
        """Promise these tickets, as (ticket's id, person's id), in one transaction; takes expired promises away.

        Raises `Unavailable` when nothing can be stored, and where the disk has no more room than is spared.
        """
        self.check_room()
        now = self._db.now()
        with self._db.write() as session:
            session.execute(delete(Reservation).where(col(Reservation.expires_at) <= now))
            session.add_all(
                Reservation(ticket_id=ticket_id, person_id=person_id, expires_at=now + lifetime_s)
                for ticket_id, person_id in promised
            )

    def waits(self, ticket_id: str, person_id: str) -> bool:
        """Whether this ticket is promised to this person and its answer may still come."""
        with self._db.read() as session:
            found = session.get(Reservation, ticket_id)
            return found is not None and found.person_id == person_id and found.expires_at > self._db.now()

    def withdraw(self, ticket_id: str) -> None:
        """Take back a promise whose answer will not come."""
        with self._db.write() as session:
            redeem(session, ticket_id)

    def listing(self) -> list[Reservation]:
        """Every promise, expired ones too."""
        with self._db.read() as session:
            return list(session.exec(select(Reservation).order_by(col(Reservation.expires_at))))

    def check_room(self) -> None:
        """Raises `Unavailable` where the disk of a SQLite database has no more room than is spared."""
        if not self._db.is_sqlite:
            return
        folder = Path(str(self._db.engine.url.database)).absolute().parent
        try:
            disk = os.statvfs(folder)
        except OSError as error:
            raise Unavailable(f"The folder of the database cannot be reached: {error}.", outside=AWAY) from error
        free = disk.f_bavail * disk.f_frsize
        if free < SPARE_BYTES:
            raise Unavailable(
                f"The disk of the database is full: {free / 2**20:.0f} MiB are free, and {SPARE_BYTES >> 20} MiB are "
                f"spared for answers on their way. Make room in {folder}.",
                outside=FULL,
            )


def redeem(session: Session, ticket_id: str) -> None:
    """The promised ticket is stored in this session."""
    session.execute(delete(Reservation).where(col(Reservation.ticket_id) == ticket_id))
