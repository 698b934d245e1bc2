"""What is kept of what people say, in one line that every page shows, and who has accepted it."""

from __future__ import annotations

from feedback_app.domain.judging import Signal
from feedback_app.store.database import Store
from feedback_app.store.tables import Person

LINE = (
    "What you write, the answers, and what you say about them are kept on this server and used to train the model; "
    "Undo takes a rating back."
)


DOING = "What you do with answers without being asked is kept and used too: {}."
DEEDS = {
    Signal.RETRY: "asking for another one",
    Signal.COPY: "copying",
    Signal.STOP: "stopping",
    Signal.EDIT: "how much you rewrite",
    Signal.ABANDONED: "leaving for a new conversation",
    Signal.THANKS: "thanking",
}


def line(signals: frozenset[Signal]) -> str:
    """The line, with what is kept beyond what people say, where the settings keep any."""
    deeds = ", ".join(deed for signal, deed in DEEDS.items() if signal in signals)
    return f"{LINE} {DOING.format(deeds)}" if deeds else LINE


def has_consented(person: Person) -> bool:
    """Whether this person has accepted the line."""
    return person.consented_at is not None


def consent(store: Store, person: Person) -> Person:
    """Note that this person has accepted the line; the first time counts."""
    return store.people.set_consented(person.id)
