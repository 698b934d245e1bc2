"""A request's body that a middleware has read, handed on to what comes after it. Nothing is judged or bounded here."""

from __future__ import annotations

from starlette.types import Message, Receive


def replayed(body: bytes, receive: Receive) -> Receive:
    """A receive that hands out the body once, whole, and afterwards what the client does."""
    told = False

    async def once() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once
