"""When the worker starts a round by itself: after so many new judgements, or every so many hours."""

from __future__ import annotations

import logging

from feedback_app.errors import AlignloopError
from feedback_app.loop.rounds import start_round
from feedback_app.store.database import Store
from feedback_app.store.tables import Round, Schedule

log = logging.getLogger(__name__)

HOUR_S = 3600.0


def due(schedule: Schedule, *, now: float, new_judgements: int, active: bool, challenged: bool) -> bool:
    """Whether a round should start now.

    Never beside another round, never while a challenger still collects votes (the votes on it are new
    judgements too, and a new challenger would replace it before they decide), and never on nothing new.
    """
    if not schedule.enabled or active or challenged or new_judgements <= 0:
        return False
    if schedule.every_judgements and new_judgements >= schedule.every_judgements:
        return True
    if schedule.every_hours:
        last = schedule.last_started_at
        return last is None or now - last >= schedule.every_hours * HOUR_S
    return False


def start_due(store: Store) -> Round | None:
    """Start the scheduled round, if it is time."""
    schedule = store.schedule.get()
    if not schedule.enabled:
        return None
    rounds = store.rounds.listing()
    since = max((round_.watermark for round_ in rounds), default=0)
    now = store.now()
    if not due(
        schedule,
        now=now,
        new_judgements=int(store.judgements.counts(since)["total"]),
        active=store.rounds.active() is not None,
        challenged=store.versions.challenger() is not None,
    ):
        return None
    try:
        round_ = start_round(store, schedule.method, requested_by=None, seed=len(rounds))
    except AlignloopError as error:  # somebody was faster, or the method is gone
        log.warning("the scheduled round did not start: %s", error)
        return None
    store.schedule.set(last_started_at=now)
    log.info("round %s started by schedule", round_.id)
    return round_
