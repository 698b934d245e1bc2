"""What a stage is handed as `data`: a folder or a file of feedback, read by the rules of import into training rows.

    pairs.*, marks.*, sft.*, groups.*    the rows of one table: a snapshot's, or in any shape that import reads
    train.*                              conversations (sft and pretrain ask for it first), or any other feedback
    anything else                        read where no file has the name of what the stage asks for

A row that a compilation wrote is that row again. One row that cannot be used is left out and counted, with its
judgements or the line that it stands on; a weight or a label that cannot be meant ends the stage with its line
(`training_columns`), because whoever wrote it meant something else. Files that are not read are named in the notes.

What may not be done here: knowing a container or a shape (`read`), or what a model can use (`shared_training`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Literal, TypeVar

from alignment.dataset.judgement import Message
from alignment.dataset.left_out import LeftOut, Unusable
from alignment.dataset.reading.containers import open_container
from alignment.dataset.reading.feedback import Record
from alignment.dataset.reading.read import Found, read_feedback
from alignment.dataset.reading.training_columns import TRAIN, Place, check_label, columns_of, truth
from alignment.dataset.reading.training_files import TABLES, TrainingFile, has_table, training_files
from alignment.dataset.reading.training_rows import Conversation, conversations, is_demonstration, rows_of, unusable
from alignment.dataset.row_files import MAKERS, NEEDED
from alignment.dataset.rows import GroupRow, MarkRow, PairRow, Row, SftRow
from alignment.errors import SnapshotProblem

Use = Literal["policy", "reward"]
_Aging = TypeVar("_Aging", PairRow, MarkRow)
_WRITTEN = {"weight", "judgements", "split"}  # what every row has that `to_record` wrote, beside its texts
_LABELS = ("label", "kto_tag")
_MARKED = ("completion", "messages", "conversations", "response", "answer")  # what such a label stands beside
_TRAINS = {"pairs": "dpo or reward", "marks": "kto", "sft": "sft", "groups": "reward"}
_CALLED = {"sft": "rows worth imitating", "groups": "rankings"}


@dataclass(slots=True)
class Rows:
    """What files hold, in their order. `conversations` are what is worth imitating, where a stage asks for turns."""

    pairs: list[PairRow] = field(default_factory=list)
    marks: list[MarkRow] = field(default_factory=list)
    sft: list[SftRow] = field(default_factory=list)
    groups: list[GroupRow] = field(default_factory=list)
    conversations: list[Conversation] = field(default_factory=list)

    def add(self, row: Row, *, whole: bool = False) -> None:
        """Take one row; with `whole`, one worth imitating as a conversation."""
        match row:
            case PairRow():
                self.pairs.append(row)
            case MarkRow():
                self.marks.append(row)
            case GroupRow():
                self.groups.append(row)
            case SftRow() if not whole:
                self.sft.append(row)
            case SftRow() if row.split == TRAIN:
                turns = (*row.prompt, Message("assistant", row.completion))
                self.conversations.append(Conversation(turns, (len(row.prompt),), row.judgements))

    def counts(self) -> dict[str, int]:
        """How many there are, by table; the conversations count as what is worth imitating."""
        found = {"pairs": len(self.pairs), "marks": len(self.marks), "groups": len(self.groups)}
        return found | {"sft": len(self.sft) + len(self.conversations)}


def read_pairs(
    data: Path, split: str | None = None, *, use: Use = "policy", left: LeftOut | None = None
) -> list[PairRow]:
    """The pairs of a folder or file, of one split or of both.

    For a policy (DPO), rows that are too close for one are left out and `weight` has the age of the answers
    in it (`age_weight` is then 1); for a reward model (`use="reward"`), all rows come as they were written.
    Rows that cannot be used are counted in `left`. Raises `SnapshotProblem` or `ReadingProblem` where there is
    nothing to read, or a weight or a label that cannot be meant.
    """
    rows = [row for row in read_rows(data, ("pairs",), left).pairs if split is None or row.split == split]
    return rows if use == "reward" else [_aged(row) for row in rows if not row.reward_only]


def read_marks(
    data: Path, split: str | None = None, *, use: Use = "policy", left: LeftOut | None = None
) -> list[MarkRow]:
    """The good and bad answers; see `read_pairs`."""
    rows = [row for row in read_rows(data, ("marks",), left).marks if split is None or row.split == split]
    return rows if use == "reward" else [_aged(row) for row in rows]


def read_sft(data: Path, split: str | None = None, *, left: LeftOut | None = None) -> list[SftRow]:
    """The answers worth imitating; see `read_pairs`."""
    return [row for row in read_rows(data, ("sft",), left).sft if split is None or row.split == split]


def read_comparisons(data: Path, *, left: LeftOut | None = None) -> tuple[list[PairRow], list[GroupRow]]:
    """What a reward model learns from: the pairs as they were written, and the rankings as tie-groups, best first.

    Those say the same as the pairs of origin `rank`: a listwise loss reads them and the pairs of other origins.
    """
    rows = read_rows(data, ("pairs", "groups"), left)
    return rows.pairs, rows.groups


def read_conversations(data: Path, *, left: LeftOut | None = None) -> list[Conversation]:
    """What is worth imitating on the training side, in whole conversations: of `train.*`, else of `sft.*`."""
    asked = ("sft",) if has_table(data, "sft") and not has_table(data, "train") else ("train",)
    return read_rows(data, ("sft",), left, asked=asked, whole=True).conversations


def read_all(data: Path, *, left: LeftOut | None = None) -> list[Row]:
    """The rows of every table that a policy may learn from, for what they ask; see `read_pairs`."""
    rows = read_rows(data, TABLES, left)
    return [*rows.groups, *(row for row in rows.pairs if not row.reward_only), *rows.marks, *rows.sft]


def read_rows(
    data: Path,
    tables: Sequence[str],
    left: LeftOut | None = None,
    *,
    asked: Sequence[str] = (),
    whole: bool = False,
) -> Rows:
    """What the files hold that are called as the `tables` (or as `asked`), or all files where none is called so.

    With `whole`, answers worth imitating come as conversations. Raises as `read_pairs`, and where there is feedback
    but nothing for these tables.
    """
    left = left if left is not None else LeftOut()
    files, not_read = training_files(data, asked or tables)
    rows = Rows()
    for file in files:
        _read_file(file, rows, left, whole=whole)
    counts = rows.counts()
    if any(counts.values()) and not any(counts[table] for table in tables):
        what = ", ".join(
            f"{count} {_in_words(table)} (for {_TRAINS[table]})" for table, count in counts.items() if count
        )
        raise SnapshotProblem(
            f"{data} holds no {_in_words(tables[0])}, but {what}: name the stage that learns from them."
        )
    if not_read:
        left.notes.append(f"Not read in {data.name}: {', '.join(not_read)}.")
    return rows


def _read_file(file: TrainingFile, rows: Rows, left: LeftOut, *, whole: bool) -> None:
    """Add what a file holds to `rows`; what cannot be used is counted."""
    if file.named and file.path.stat().st_size == 0:
        return  # a table without rows, as a snapshot or a constitution writes it
    with open_container(file.path) as opened:
        ahead = list(islice(opened.lines, 1))
        start = Place(str(file.path), file.path.name, 0, opened.table, file.split)
        if file.table and ahead and _written(ahead[0].record, file.table):
            for line in chain(ahead, opened.lines):
                place = start.at(line.number)
                _take_written(file.table, line.record, line.problem, place, rows, left, whole=whole)
            return
    reading = read_feedback(file.path)
    for found in reading.rows:
        _take(found, start.at(found.line), rows, left, ours=bool(file.table), whole=whole)
    left.notes += [f"{file.path.name}: {note}" for note in reading.notes()]


def _written(record: Record | None, table: str) -> bool:
    """Whether a record is one that `rows.to_record` wrote."""
    if record is None:
        return False
    needed = set(NEEDED[table])  # nobody else calls anything `groups`
    return (needed if table == "groups" else _WRITTEN | needed) <= set(record)


def _take_written(
    table: str, record: Record | None, problem: str, place: Place, rows: Rows, left: LeftOut, *, whole: bool
) -> None:
    """One line of a file that `rows.to_record` wrote: the row is what it was."""
    if record is None:
        left.add(unusable(problem), [place.name])
        return
    columns = columns_of(record, place, ours=True)
    if "label" in record:
        check_label(record, "label", place)
        record = {**record, "label": truth(record["label"])}
    try:
        row = MAKERS[table](record)
    except Unusable as why:
        left.add(why, columns.judgements)
    except (KeyError, TypeError, AttributeError, ValueError):
        left.add(unusable("a key is missing or of another kind"), columns.judgements)
    else:
        rows.add(row, whole=whole)


def _take(found: Found, place: Place, rows: Rows, left: LeftOut, *, ours: bool, whole: bool) -> None:
    """One record as import reads it; where several are read at once, the last one speaks for them."""
    columns = columns_of(found.record or {}, place, ours=ours)
    if not found.feedback:
        if found.record is not None:
            _check_labels(found.record, place)
        if found.problem:
            left.add(unusable(found.problem), columns.judgements)
        return
    shown = [each for each in found.feedback if is_demonstration(each)] if whole else []
    try:
        rows.conversations += conversations(shown, columns) if shown and columns.split == TRAIN else []
    except Unusable as why:
        left.add(why, columns.judgements)
    for each in found.feedback:
        if whole and is_demonstration(each):
            continue
        try:
            for row in rows_of(each, columns):
                rows.add(row)
        except Unusable as why:
            left.add(why, columns.judgements)


def _check_labels(record: Record, place: Place) -> None:
    """A record that gave nothing may have a label that cannot be meant: then the file is to be corrected."""
    if any(key in record for key in _MARKED):
        for key in _LABELS:
            if key in record:
                check_label(record, key, place)


def _aged(row: _Aging) -> _Aging:
    return row if row.age_weight == 1.0 else replace(row, weight=row.weight * row.age_weight, age_weight=1.0)


def _in_words(table: str) -> str:
    return _CALLED.get(table, table)
