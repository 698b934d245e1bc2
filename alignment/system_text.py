"""A system text where the chat template has no system role: it goes before the first user's turn.

One rule for what is served and for what is trained, so that a model learns on the words that it is asked with.
Standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence

Turn = tuple[str, str]
"""A role and what it says."""

BETWEEN = "\n\n"
ROLE = "system"


def without_system(turns: Sequence[Turn]) -> list[Turn]:
    """The turns without the system's, whose texts stand before what the first user says, a blank line between.

    Without a user's turn they become one, the first.
    """
    system = [text for role, text in turns if role == ROLE]
    kept = [turn for turn in turns if turn[0] != ROLE]
    if not system:
        return kept
    place = next((place for place, (role, _) in enumerate(kept) if role == "user"), None)
    if place is None:
        return [("user", BETWEEN.join(system)), *kept]
    kept[place] = ("user", BETWEEN.join([*system, kept[place][1]]))
    return kept
