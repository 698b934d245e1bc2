"""Import: a file's records through the same tasks, tickets and verdicts as everyone's.

What a file says is read by `alignment.dataset.reading`, and stored by `exchange.writing`; here the two are joined
and what became of the records is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from alignment.dataset.reading.feedback import Feedback, Ranks, Skip
from alignment.dataset.reading.read import Found, read_feedback
from feedback_app.domain.judging import Kind
from feedback_app.exchange.writing import DEMONSTRATION, Origin, write_gold, write_judgements

if TYPE_CHECKING:
    from feedback_app.store.database import Store


class Imported(TypedDict):
    """What an import did: `imported` by kind, `skipped` by reason, and what was noticed, in sentences."""

    format: str
    read: int
    imported: dict[str, int]
    skipped: dict[str, int]
    notes: list[str]


class GoldAdded(TypedDict):
    """What became gold tasks; `skipped` by reason."""

    format: str
    read: int
    added: int
    skipped: dict[str, int]


def bring_in(store: Store, path: Path, format: str = "") -> Imported:
    """Turn a file's records into judgements. Raises `ReadingProblem` on a file that is none of ours.

    One record of a tree holds several judgements.
    """
    imported: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    ranks = Ranks()
    reading = read_feedback(path, format=format)
    pieces = _Pieces(reading.rows)
    for done in write_judgements(store, pieces, Origin(reading.format, path.name)):
        if done.problem:
            skipped[done.problem] += 1
            continue
        imported[done.kind] += 1
        if done.kind == Kind.RANK and done.feedback is not None:
            ranks.see(done.feedback)
    notes = [*reading.notes(), *ranks.notes()]
    if imported[DEMONSTRATION]:
        notes.append("Demonstrations train sft; they make no pairs and no marks, because nobody compared them.")
    return {
        "format": reading.format,
        "read": pieces.read,
        "imported": dict(imported),
        "skipped": dict(skipped),
        "notes": notes,
    }


def add_gold(store: Store, path: Path, format: str = "") -> GoldAdded:
    """Turn a file's comparisons into gold tasks: the better answer of each is taken as known. Raises as `bring_in`."""
    skipped: Counter[str] = Counter()
    added = 0
    reading = read_feedback(path, format=format)
    pieces = _Pieces(reading.rows)
    for done in write_gold(store, pieces, Origin(reading.format, path.name)):
        if done.problem:
            skipped[done.problem] += 1
        else:
            added += 1
    return {"format": reading.format, "read": pieces.read, "added": added, "skipped": dict(skipped)}


class _Pieces:
    """What records hold, piece by piece, each with its line; `read` counts the records that came."""

    def __init__(self, rows: Iterable[Found]) -> None:
        self._rows = rows
        self.read = 0

    def __iter__(self) -> Iterator[tuple[int, Feedback | Skip]]:
        for found in self._rows:
            self.read += 1
            if found.problem:
                yield found.line, Skip(found.problem)
            for one in found.feedback:
                yield found.line, one
