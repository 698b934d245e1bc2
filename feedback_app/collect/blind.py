"""Which two versions a blind vote is between now, if any: the only thing that decides what a Compare task is about."""

from __future__ import annotations

from dataclasses import dataclass

from feedback_app.store.database import Store


@dataclass(frozen=True, slots=True)
class Blind:
    """The names of the version that is judged and of the one beside it."""

    judged: str
    against: str


def blind_vote(store: Store) -> Blind | None:
    """A milestone that a running round waits for, against what that round started from; else the challenger.

    The challenger is against what `policy` means. A milestone goes first: a training waits for it, and a few votes
    are enough. None while neither is there. Synchronous: up to three looks at the database.
    """
    for milestone in store.versions.watched():
        if milestone.parent:
            return Blind(milestone.name, milestone.parent)
    challenger, published = store.versions.challenger(), store.versions.published()
    if challenger is None or published is None or challenger.name == published.version:
        return None
    return Blind(challenger.name, published.version)
