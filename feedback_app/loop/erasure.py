"""Erasing a person: their texts out of every stored snapshot, then out of the database.

In this order, so that a crash leaves the database knowing what is still to do: erasing again finishes it.
Versions that were trained on the texts cannot be made not to have been; they are named, and flagged for
everyone by `lineage.flag_of`. Copies that were exported before are beyond reach.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from alignment.dataset.erasure import erase_judgements
from alignment.errors import SnapshotProblem
from feedback_app.errors import Conflict, Unavailable
from feedback_app.loop.lineage import person_lineage
from feedback_app.store.database import Store
from feedback_app.store.tables import Person


class Erased(TypedDict):
    """What was emptied in the database, how many snapshots were rewritten, and the versions that rest on the texts."""

    person: str
    judgements: int
    messages: int
    snapshots: int
    flagged: list[str]


def erase(store: Store, person: Person) -> Erased:
    """Erase a person's texts; returns what was emptied and which versions rest on them.

    Raises `Conflict` for the last operator and while a round runs, `Unavailable` when a snapshot cannot be
    rewritten.
    """
    active = store.rounds.active()
    if active is not None:
        raise Conflict(f"Round {active.id} may be reading these texts. Wait for it, or cancel it first.")
    gone = set(store.withdrawals.resting_on(person.id))
    store.withdrawals.withdraw(person.id)
    rewritten = 0
    # Every snapshot, and not only those that count the person: other people's judgements may rest on their words.
    for snapshot in store.rounds.snapshots():
        if not Path(snapshot.folder).is_dir():
            continue
        try:
            manifest = erase_judgements(Path(snapshot.folder), gone)
        except SnapshotProblem as error:
            raise Unavailable(str(error)) from error
        if manifest.hash != snapshot.hash:
            store.rounds.set_snapshot(snapshot.id, manifest.hash, manifest.to_record())
            rewritten += 1
    name = person.name
    versions = [version.version for version in person_lineage(store, person).versions]
    emptied = store.withdrawals.erase(person.id)
    return {
        "person": name,
        "judgements": emptied["judgements"],
        "messages": emptied["messages"],
        "snapshots": rewritten,
        "flagged": versions,
    }
