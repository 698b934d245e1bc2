"""What an export loses of what people said, counted by judgement: on disk, as many as there are.

A judgement is lost whole where it is in no row of the format, and in part where its row goes without something. Which
parts a format carries is found out by writing and reading (`formats.carried`).
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from alignment.dataset.reading.formats import FORMATS, Feedback, Kind
from alignment.dataset.reading.formats.carried import Part, carried

if TYPE_CHECKING:
    from alignment.dataset.judgement import Judgement

NO_VERDICT = "no verdict: it says that this cannot be judged"
NO_ROW = "no row of a round: unfinished, excluded or equal answers, or others say the opposite"
WITH_OTHERS = "one row for several people"
STRENGTH = "how much better: clearly or slightly"
MARKS = "whether each answer is good or bad, beside an order"
CORRECTION = "a rewritten answer"
_SAYS = {
    Kind.MARK: "a like or dislike",
    Kind.PAIR: "a preference",
    Kind.RANKING: "an order of answers",
    Kind.VOTE: "a vote between two answers",
    Kind.DEMONSTRATION: CORRECTION,
}


class Lost:
    """Which judgements are in a row of the format, and what is lost of each. Close it behind the export."""

    def __init__(self, format: str, scratch: Path) -> None:
        """`scratch` is a folder that goes after the export."""
        self._format, self._takes = format, FORMATS[format].takes
        self._base = sqlite3.connect(scratch / "lost", isolation_level=None)
        self._base.execute("PRAGMA journal_mode=OFF")
        self._base.execute("PRAGMA synchronous=OFF")
        self._base.execute("BEGIN")
        self._base.execute("CREATE TABLE written (id TEXT, others INTEGER, PRIMARY KEY (id)) WITHOUT ROWID")
        self._base.execute("CREATE TABLE lost (reason TEXT, id TEXT, PRIMARY KEY (reason, id)) WITHOUT ROWID")

    def watched(self, rows: Iterable[Feedback], left_out: Counter[str]) -> Iterator[Feedback]:
        """The same rows on their way to the writer, which counts in `left_out` what it does not write."""
        for row in rows:
            before = Counter(left_out)
            yield row
            reasons = [reason for reason, count in left_out.items() if count > before[reason]]
            for reason in reasons:
                self._lose(reason, row.judgements)
            if not reasons:
                others = len(row.judgements) > 1
                self._base.executemany(
                    "INSERT INTO written VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET others = min(others, ?)",
                    [(id, others, others) for id in row.judgements],
                )

    def _lose(self, reason: str, ids: Iterable[str]) -> None:
        self._base.executemany("INSERT OR IGNORE INTO lost VALUES (?, ?)", [(reason, id) for id in ids])

    def look(self, judgements: Iterable[Judgement]) -> None:
        """Every judgement that may be exported, once, after the rows were written."""
        for judgement in judgements:
            row = self._base.execute("SELECT others FROM written WHERE id = ?", (judgement.id,)).fetchone()
            if row is not None:
                for part in self._parts(judgement, alone=not row[0]):
                    self._lose(part, (judgement.id,))
            elif not self._base.execute("SELECT 1 FROM lost WHERE id = ?", (judgement.id,)).fetchone():
                self._lose(self._why(judgement), (judgement.id,))

    def _why(self, judgement: Judgement) -> str:
        """Why a judgement is in no row."""
        said = _kinds(judgement)
        if judgement.cannot_judge or not said:
            return NO_VERDICT
        if said & set(self._takes):
            return NO_ROW
        if Part.TIES in said:
            return f"a tie, which {self._format} has no place for"
        first = next(kind for kind in (Kind.VOTE, Kind.RANKING, Kind.MARK, Kind.DEMONSTRATION) if kind in said)
        return f"{_SAYS[first]}, which {self._format} has no place for"

    def _parts(self, judgement: Judgement, *, alone: bool) -> Iterator[str]:
        """What a judgement says that its row does not."""
        fates = carried(self._format)
        for part, there in ((Part.COMMENT, judgement.comment), (Part.REASONS, judgement.reasons)):
            if there and not (fates[part].kept and alone):
                yield part.value
        said = _kinds(judgement)
        if judgement.strength is not None and Kind.VOTE in said | {Kind.RANKING}:
            yield STRENGTH
        if said & {Kind.RANKING, Part.TIES} and Kind.MARK in said and Kind.MARK not in self._takes:
            yield MARKS
        if len(said) > 1 and Kind.DEMONSTRATION in said and not {Kind.DEMONSTRATION, Kind.PAIR} & set(self._takes):
            yield CORRECTION

    def counts(self) -> dict[str, int]:
        """How many judgements lost what."""
        found = self._base.execute("SELECT reason, count(*) FROM lost GROUP BY reason ORDER BY 2 DESC, 1")
        return dict(found.fetchall())

    def close(self) -> None:
        """No more is counted."""
        self._base.close()


def _kinds(judgement: Judgement) -> set[Kind | Part]:
    """What a judgement says, as formats have it; a tie of all answers is no pair and no ranking."""
    said: set[Kind | Part] = set()
    ranks = [each.rank for each in judgement.candidates]
    marks = [each.mark for each in judgement.candidates if each.mark is not None]
    if len(ranks) > 1 and None not in ranks:
        said |= {Kind.PAIR, Kind.RANKING} if len(set(ranks)) > 1 else {Part.TIES}
    if len(ranks) == 2 and (None not in ranks or (len(marks) == 2 and len(set(marks)) == 1)):
        said.add(Kind.VOTE)
    if marks:
        said.add(Kind.MARK)
    if any(each.correction is not None for each in judgement.candidates):
        said |= {Kind.DEMONSTRATION, Kind.PAIR}
    return said
