"""Comparisons among the others that tell how far a person can be relied on: known answers, and earlier pairs again.

Nothing that leaves the server tells them from another pair. Never for scripted people, and not while there is a
blind vote, which every judgement is needed for.
"""

from __future__ import annotations

import random

from feedback_app.collect.blind import blind_vote
from feedback_app.settings import Settings
from feedback_app.store.database import Store
from feedback_app.store.tables import Person, Task

# Nobody is to remember what they said: a repeat comes so much later, by the clock or by what was judged since.
REPEAT_AFTER_S = 3600.0
REPEAT_AFTER = 30


def mixed_in(store: Store, settings: Settings, person: Person, rng: random.Random) -> Task | None:
    """Now and then, a task to issue in the place of a new pair."""
    if person.scripted or blind_vote(store) is not None:
        return None
    return _gold(store, settings.gold_share, person, rng) or _repeat(store, settings.repeat_share, person, rng)


def _gold(store: Store, share: float, person: Person, rng: random.Random) -> Task | None:
    """A task whose answer is known and that this person has not seen."""
    unseen = store.tasks.gold_unseen(person.id) if share else []
    return rng.choice(unseen) if unseen and rng.random() < share else None


def _repeat(store: Store, share: float, person: Person, rng: random.Random) -> Task | None:
    """A comparison that this person has judged, not lately, and not twice yet."""
    earlier = store.tasks.repeatable(person.id, store.now() - REPEAT_AFTER_S, REPEAT_AFTER) if share else []
    return store.tasks.repeat(rng.choice(earlier)) if earlier and rng.random() < share else None
