"""What is kept of what people say, in one line that every page shows, and who has accepted it."""

from __future__ import annotations

from feedback_app.store.database import Store
from feedback_app.store.tables import Person

LINE = (
    "What you write, the answers, and what you say about them are kept on this server and used to train the model; "
    "Undo takes a rating back."
)


def has_consented(person: Person) -> bool:
    """Whether this person has accepted the line."""
    return person.consented_at is not None


def consent(store: Store, person: Person) -> Person:
    """Note that this person has accepted the line; the first time counts."""
    return store.people.set_consented(person.id)
