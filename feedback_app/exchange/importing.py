"""Import: a file's records through the same tasks, tickets and verdicts as everyone's.

What a file says is read by `alignment.dataset.reading`, and stored by `exchange.writing`; here the two are joined
and what became of the records is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict

from alignment.dataset.reading.containers import LIMITS, Limits
from alignment.dataset.reading.feedback import Feedback, Ranks, Skip, two
from alignment.dataset.reading.mapping import ColumnMap
from alignment.dataset.reading.read import Found, Reading, read_feedback
from feedback_app.domain.judging import Kind
from feedback_app.errors import AlignloopError
from feedback_app.exchange.writing import BEFORE, DEMONSTRATION, Origin, write_gold, write_judgements

if TYPE_CHECKING:
    from feedback_app.store.database import Store

CONTRADICTS = "contradicts the one before: there, the other answer is the better one"


class RowLeftOut(AlignloopError):
    """A row that would be left out, where no row may be."""

    http_status = 400


class Imported(TypedDict):
    """What an import did: `imported` by kind, `skipped` by reason, and what was noticed, in sentences.

    `first` has the line of the first row that was skipped for each reason; it is there when some row was.
    """

    format: str
    read: int
    imported: dict[str, int]
    skipped: dict[str, int]
    notes: list[str]
    first: NotRequired[dict[str, int]]


class GoldAdded(TypedDict):
    """What became gold tasks; otherwise as `Imported`."""

    format: str
    read: int
    added: int
    skipped: dict[str, int]
    notes: list[str]
    first: NotRequired[dict[str, int]]


def bring_in(
    store: Store,
    path: Path | None,
    format: str = "",
    *,
    mapping: ColumnMap | None = None,
    text_only: bool = False,
    strict: bool = False,
    limits: Limits = LIMITS,
) -> Imported:
    """Turn a file's records into judgements; None is standard input.

    One record of a tree holds several judgements. With `strict`, the first row that would be left out raises
    `RowLeftOut`; groups that were stored before it stay. Raises `ReadingProblem` on a file that is none of ours.
    """
    reading = read_feedback(path, format=format, mapping=mapping, text_only=text_only, limits=limits)
    imported: Counter[str] = Counter()
    left_out = _LeftOut(strict)
    ranks = Ranks()
    pieces = _Pieces(reading.rows)
    for done in write_judgements(store, pieces, _origin(reading, path)):
        if done.problem:
            left_out.count(done.problem, done.place)
            continue
        imported[done.kind] += 1
        if done.kind == Kind.RANK and done.feedback is not None:
            ranks.see(done.feedback)
    notes = [*reading.notes(), *ranks.notes()]
    if imported[DEMONSTRATION]:
        notes.append("Demonstrations train sft; they make no pairs and no marks, because nobody compared them.")
    result: Imported = {
        "format": reading.format,
        "read": pieces.read,
        "imported": dict(imported),
        "skipped": dict(left_out.reasons),
        "notes": notes,
    }
    return result if not left_out.first else {**result, "first": left_out.first}


def add_gold(
    store: Store,
    path: Path | None,
    format: str = "",
    *,
    mapping: ColumnMap | None = None,
    text_only: bool = False,
    strict: bool = False,
) -> GoldAdded:
    """Turn a file's comparisons into gold tasks: the better answer of each is taken as known. Raises as `bring_in`."""
    reading = read_feedback(path, format=format, mapping=mapping, text_only=text_only)
    left_out = _LeftOut(strict)
    added = 0
    pieces = _Pieces(reading.rows)
    for done in write_gold(store, _uncontradicted(pieces), _origin(reading, path)):
        if done.problem:
            left_out.count(done.problem, done.place)
        else:
            added += 1
    result: GoldAdded = {
        "format": reading.format,
        "read": pieces.read,
        "added": added,
        "skipped": dict(left_out.reasons),
        "notes": reading.notes(),
    }
    return result if not left_out.first else {**result, "first": left_out.first}


def _origin(reading: Reading, path: Path | None) -> Origin:
    return Origin(reading.format, path.name if path is not None else "standard input")


class _LeftOut:
    """Rows that were left out, by reason, with the first line of each."""

    def __init__(self, strict: bool) -> None:
        self.reasons: Counter[str] = Counter()
        self.first: dict[str, int] = {}
        self._strict = strict

    def count(self, reason: str, line: int) -> None:
        """One more. Raises `RowLeftOut` where none may be; what was stored before is no such row."""
        if self._strict and reason not in BEFORE:
            raise RowLeftOut(f"Line {line}: {reason}. Mend it, or leave --strict out to go on without such rows.")
        self.reasons[reason] += 1
        self.first.setdefault(reason, line)


def _uncontradicted(pieces: Iterable[tuple[int, Feedback | Skip]]) -> Iterator[tuple[int, Feedback | Skip]]:
    """The same pieces; a comparison that says the opposite of an earlier one is none."""
    better: dict[int, str] = {}
    for line, piece in pieces:
        if isinstance(piece, Feedback) and len(piece.answers) == 2 and piece.ranked:
            texts = two(piece)
            first = better.setdefault(hash((piece.prompt, frozenset(texts))), texts[0])
            if first != texts[0] and piece.answers[0].rank != piece.answers[1].rank:
                yield line, Skip(CONTRADICTS)
                continue
        yield line, piece


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
