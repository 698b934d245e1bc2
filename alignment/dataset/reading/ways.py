"""How one file is read, and what is to be said about it afterwards."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

MOST_VALUES = 20  # different values that one reason is counted for; further ones are counted together


@dataclass(slots=True)
class Ways:
    """Handed through the reading of one file.

    `text_only` leaves images out instead of the row. `asked`: some row had a column for the question, so that no
    question is made of what two answers have in common.
    """

    text_only: bool = False
    asked: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    columns: dict[str, None] = field(default_factory=dict)

    def notice(self, sentence: str) -> None:
        """Count what was left out or read in a way of its own; `{n}` in the sentence is how often."""
        self.counts[sentence] += 1

    def unread(self, names: tuple[str, ...]) -> None:
        """Columns that hold something and were not read."""
        for name in names:
            if len(self.columns) < MOST_VALUES:
                self.columns.setdefault(name)

    def notes(self) -> list[str]:
        """One sentence for each thing that was noticed."""
        said = [sentence.replace("{n}", f"{count:,}") for sentence, count in self.counts.items()]
        if self.columns:
            said.append(f"Columns that were not read: {', '.join(self.columns)}.")
        return said
