"""Who asks: the person of an API key in `Authorization: Bearer …`.

Wrong keys slow nobody: a key is 256 random bits, so guessing is hopeless, and looking one up costs one read.
"""

from __future__ import annotations

from fastapi import Request

from feedback_app.collect.people import Role, person_of_key, require
from feedback_app.errors import NotSignedIn, UsageError
from feedback_app.store.database import Store
from feedback_app.store.tables import Person

LONGEST_BODY = 4 * 1024 * 1024


class BodyTooLarge(UsageError):
    """The request's body is larger than any request needs."""

    http_status = 413


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


async def read_body(request: Request) -> bytes:
    """The whole body. Raises `BodyTooLarge` as soon as it is known to be too large."""
    parts, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > LONGEST_BODY:
            raise BodyTooLarge(f"The request is larger than {LONGEST_BODY // 2**20} MiB. Send less text.")
        parts.append(chunk)
    return b"".join(parts)
