"""The store: every query file on one database, behind one object.

One call of the store is one transaction and is synchronous: servers call it in a worker thread. What a call
acknowledged is committed. Rows that come back are detached values; nothing is loaded later.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from feedback_app.store.conversations import Conversations
from feedback_app.store.engine import Database, create
from feedback_app.store.guesses import Guesses
from feedback_app.store.heartbeats import Heartbeats
from feedback_app.store.imports import Imports
from feedback_app.store.judgements import Judgements
from feedback_app.store.people import People
from feedback_app.store.reservations import Reservations
from feedback_app.store.rounds import Rounds
from feedback_app.store.schedule import Schedules
from feedback_app.store.schema import migrate, upgrade
from feedback_app.store.signals import Signals
from feedback_app.store.tasks import Tasks
from feedback_app.store.versions import Versions
from feedback_app.store.withdrawal import Withdrawals

__all__ = ["Store", "migrate", "open_store"]


@dataclass(frozen=True)
class Store:
    """Everything that is kept, by subject."""

    database: Database
    people: People
    guesses: Guesses
    conversations: Conversations
    tasks: Tasks
    reservations: Reservations
    judgements: Judgements
    signals: Signals
    imports: Imports
    versions: Versions
    rounds: Rounds
    schedule: Schedules
    heartbeats: Heartbeats
    withdrawals: Withdrawals

    def now(self) -> float:
        """The store's clock, seconds since the epoch."""
        return self.database.now()

    def close(self) -> None:
        """Close every connection."""
        self.database.engine.dispose()


def open_store(url: str, clock: Callable[[], float] = time.time) -> Store:
    """Open the database at `url`, bring it to this program's schema, and return the store.

    `url` is `sqlite:///path` or `postgresql://…`. Raises `UsageError` on any other, and `Unavailable` when the
    database cannot be reached or was made by a newer alignloop.
    """
    engine = create(url)
    upgrade(engine)
    database = Database(engine, clock)
    return Store(
        database=database,
        people=People(database),
        guesses=Guesses(database),
        conversations=Conversations(database),
        tasks=Tasks(database),
        reservations=Reservations(database),
        judgements=Judgements(database),
        signals=Signals(database),
        imports=Imports(database),
        versions=Versions(database),
        rounds=Rounds(database),
        schedule=Schedules(database),
        heartbeats=Heartbeats(database),
        withdrawals=Withdrawals(database),
    )
