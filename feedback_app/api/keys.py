"""Who asks: the person of an API key in `Authorization: Bearer …`.

Wrong keys slow nobody: a key is 256 random bits, so guessing is hopeless, and looking one up costs one read.
"""

from __future__ import annotations

from feedback_app.collect.people import person_of_key, require
from feedback_app.domain.people import Role
from feedback_app.errors import NotSignedIn
from feedback_app.store.database import Store
from feedback_app.store.tables import Person


def person_of_request(store: Store, authorization: str | None) -> Person:
    """The person whose key the request carries. Synchronous. Raises `NotSignedIn` and `NotAllowed`."""
    scheme, _, key = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise NotSignedIn("No API key was sent. Send the header Authorization: Bearer YOUR-KEY.")
    person = person_of_key(store, key.strip())
    if person is None:
        raise NotSignedIn("This API key is not valid. Use the one shown when you were added, or make a new one.")
    require(person, Role.CHATTER)
    return person
