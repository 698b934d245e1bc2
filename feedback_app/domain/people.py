"""What a person may do."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """A chatter chats and rates; an annotator also compares and ranks; an operator does all."""

    CHATTER = "chatter"
    ANNOTATOR = "annotator"
    OPERATOR = "operator"

    def reaches(self, needed: Role) -> bool:
        """Whether this role includes what `needed` allows."""
        order = list(Role)
        return order.index(self) >= order.index(needed)
