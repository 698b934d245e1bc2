"""What a page says while a request waits for its turn: true words about its place, never a guess about time."""

from __future__ import annotations


def waiting_line(place: int) -> str:
    """The place in the queue in words; `place` requests go before this one."""
    if place == 0:
        return "Waiting for a free place: you are next"
    before = "1 request goes" if place == 1 else f"{place} requests go"
    return f"Waiting for a free place: {before} before yours"
