"""Export: the rows that a round would train on, in a format of choice, with personal data as the settings say.

Row by row, compiled on disk: memory hardly grows with the number of judgements, but for oasst, whose trees may
grow until the last ranking.
"""

from __future__ import annotations

import csv
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO, TypedDict

from alignment.dataset.reading.feedback import Answer, demonstration, mark, pair
from alignment.dataset.reading.formats import FORMATS, Feedback, Kind, Record, llama_factory
from alignment.dataset.reading.formats.table import COLUMNS
from alignment.records import PersonalRecord
from feedback_app.domain.judging import Kind as TaskKind
from feedback_app.errors import Unavailable, UsageError
from feedback_app.exchange.lost import Lost

if TYPE_CHECKING:
    from alignment.dataset.compile import Rules
    from alignment.dataset.compile.personal import Handling, PersonalFindings
    from alignment.dataset.judgement import Judgement
    from alignment.dataset.rows import Row
    from feedback_app.store.database import Store

SPLITS = ("held_out", "train")
PARQUET = "parquet"  # the rows with everything that a round knows of them; written, not read


class ExportReport(TypedDict):
    """What an export wrote: `written` by split, `left_out` the rows by reason (what the format cannot carry), `lost`
    how many judgements lost what, whole or in part, `personal` what was found, `set_aside` the judgements left out
    because an operator has set their people aside.
    """

    format: str
    out: str
    written: dict[str, int]
    left_out: dict[str, int]
    lost: dict[str, int]
    personal: PersonalRecord
    judgements: int
    set_aside: int


def export(store: Store, format: str, out: Path, personal: str = "flag") -> ExportReport:
    """Write `train` and `held_out` files of this format into `out`. Raises `UsageError` and `Unavailable`.

    `parquet` is a file for each kind of rows with both sides in it, as `alignment.dataset.parquet` describes them.
    `personal` is off, flag or replace.
    """
    from alignment.dataset.compile.personal import PersonalFindings
    from feedback_app.loop.rules import heard, rules_of, set_aside

    if format not in (*FORMATS, PARQUET):
        words = ", ".join(sorted((*FORMATS, PARQUET)))
        raise UsageError(f"There is no export format called {format}. Formats: {words}.")
    handling, findings = handling_of(personal), PersonalFindings()
    aside: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    lost: dict[str, int] = {}
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise UsageError(f"{out} is not empty. Name a new folder.")
        with tempfile.TemporaryDirectory(prefix=".compile-", dir=out) as scratch:
            judgements = heard(store.judgements.export(), set_aside(store), aside)
            rows = Exported(judgements, Path(scratch), rules_of(store))
            if format == PARQUET:
                _write_tables(rows, out, handling, findings, counts)
            else:
                with closing(Lost(format, Path(scratch))) as losing:
                    _write_format(format, rows, out, handling, findings, counts, left_out, losing)
                    losing.look(rows.said())
                    lost = losing.counts()
    except OSError as error:
        raise Unavailable(f"Nothing can be written to {out}: {error.strerror}. Name another folder.") from error
    return {
        "format": format,
        "out": str(out),
        "written": dict(counts),
        "left_out": dict(left_out),
        "lost": lost,
        "personal": findings.to_record(handling),
        "judgements": rows.judgements,
        "set_aside": aside.total(),
    }


def handling_of(name: str) -> Handling:
    """What is done with personal data. Raises `UsageError` on a word that is none of the three."""
    from alignment.dataset.compile.personal import Handling

    try:
        return Handling(name)
    except ValueError as error:
        words = ", ".join(Handling)
        raise UsageError(f"There is no way to handle personal data called {name}. Use one of: {words}.") from error


class Exported:
    """What is exported, on disk: the rows, and the judgements in the order in which they were given.

    Gold verdicts and repeats weigh people and are nothing to train on; implicit signals stay, no format carries their
    weight.
    """

    def __init__(self, judgements: Iterable[Judgement], scratch: Path, rules: Rules) -> None:
        """`judgements` are read once, here; `scratch` is an empty folder that the rows lie in."""
        from alignment.dataset.compile.stream import Stream

        self._said = scratch / "said"
        self._worded: dict[str, int] = {}  # where in that file a mark with a comment or reasons begins, by its id
        with self._said.open("wb") as file:
            self._stream = Stream(_kept(judgements, file, self._worded), scratch, rules=rules)
        self.judgements: int = self._stream.counts.judgements

    def feedback(self, kind: Kind, split: str) -> Iterator[Feedback]:
        """The rows of a kind and side. Rankings and votes are whole verdicts, not the pairs made of them."""
        from alignment.dataset.rows import MarkRow, PairRow, SftRow

        match kind:
            case Kind.PAIR:
                for row in self._stream.rows(PairRow, split):
                    more = {"weight": row.weight, "origin": row.origin, "judgements": row.judgements}
                    yield pair(row.prompt, row.chosen, row.rejected, **more)
            case Kind.MARK:
                for good_or_bad in self._stream.rows(MarkRow, split):
                    yield mark(
                        good_or_bad.prompt,
                        good_or_bad.completion,
                        good_or_bad.label,
                        judgements=good_or_bad.judgements,
                        **self._beside(good_or_bad.judgements),
                    )
            case Kind.DEMONSTRATION:
                for shown in self._stream.rows(SftRow, split):
                    yield demonstration(shown.prompt, shown.completion, judgements=shown.judgements)
            case Kind.RANKING:
                yield from _rankings(self._verdicts(split))
                for row in self._stream.rows(PairRow, split):
                    if row.origin not in (TaskKind.COMPARE, TaskKind.RANK):  # pairs that no ranking stands behind
                        yield pair(row.prompt, row.chosen, row.rejected, judgements=row.judgements)
            case Kind.VOTE:
                yield from _votes(self._verdicts(split))

    def rows(self, name: str) -> Iterator[Row]:
        """The rows of one table, as a round would train on them, the training side last."""
        from alignment.dataset.rows import GroupRow, MarkRow, PairRow, SftRow

        kinds: dict[str, Any] = {"pairs": PairRow, "marks": MarkRow, "sft": SftRow, "groups": GroupRow}
        for split in SPLITS:
            yield from self._stream.rows(kinds[name], split)

    def said(self) -> Iterator[Judgement]:
        """The judgements that may be exported, in the order in which they were given."""
        from alignment.dataset.compile.spool import Spool
        from alignment.dataset.judgement import Judgement

        kept = Spool(Judgement)
        with self._said.open("rb") as file:
            while (judgement := kept.next(file)) is not None:
                yield judgement

    def _verdicts(self, split: str) -> Iterator[Judgement]:
        return (judgement for judgement in self.said() if self._stream.side(judgement) == split)

    def _beside(self, judgements: Sequence[str]) -> _Beside:
        """The comment and the reasons of a row that one person stands behind: those of several have no place in one."""
        from alignment.dataset.compile.spool import Spool
        from alignment.dataset.judgement import Judgement

        at = self._worded.get(judgements[0]) if len(judgements) == 1 else None
        if at is None:
            return {"comment": "", "reasons": ()}
        with self._said.open("rb") as file:
            file.seek(at)
            found = Spool(Judgement).next(file)
        assert found is not None
        return {"comment": found.comment, "reasons": found.reasons}


class _Beside(TypedDict):
    """What a person said beside a mark."""

    comment: str
    reasons: tuple[str, ...]


def _kept(judgements: Iterable[Judgement], file: BinaryIO, worded: dict[str, int]) -> Iterator[Judgement]:
    """The same judgements; those that may be exported are written down on their way, and where words stand beside."""
    from alignment.dataset.compile.spool import Spool
    from alignment.dataset.judgement import Judgement

    kept = Spool(Judgement)
    for judgement in judgements:
        if judgement.trains:
            if len(judgement.candidates) == 1 and (judgement.comment or judgement.reasons):
                worded[judgement.id] = file.tell()
            kept.write(file, judgement)
        yield judgement


def _rankings(judgements: Iterable[Judgement]) -> Iterator[Feedback]:
    """Every verdict with two or more places."""
    from alignment.dataset.compile.ranked_groups import tie_groups

    for judgement in judgements:
        groups = [] if judgement.cannot_judge else tie_groups(judgement)
        if len(groups) > 1:
            answers = (
                Answer(each.text, place, version=each.version)
                for place, group in enumerate(groups, 1)
                for each in group
            )
            yield Feedback(judgement.context, tuple(answers), at=judgement.at, judgements=(judgement.id,))


def _votes(judgements: Iterable[Judgement]) -> Iterator[Feedback]:
    """Every vote between two finished answers, ties and both bad among them, in the order they were shown."""
    from alignment.dataset.compile.ranked_groups import usable
    from alignment.dataset.judgement import Mark

    for judgement in judgements:
        shown = sorted(judgement.candidates, key=lambda candidate: candidate.position)
        if judgement.cannot_judge or len(shown) != 2 or not all(usable(candidate) for candidate in shown):
            continue
        ranked = all(candidate.rank is not None for candidate in shown)
        if ranked or all(candidate.mark is Mark.BAD for candidate in shown):
            answers = (Answer(each.text, each.rank, None if ranked else False, each.version) for each in shown)
            yield Feedback(judgement.context, tuple(answers), at=judgement.at, judgements=(judgement.id,))


def _write_format(
    format: str,
    rows: Exported,
    out: Path,
    handling: Handling,
    findings: PersonalFindings,
    counts: Counter[str],
    left_out: Counter[str],
    lost: Lost,
) -> None:
    """A file for each kind of feedback that the format takes, and side; none where there is nothing to write."""
    from alignment.dataset.compile.personal import handled

    takes = FORMATS[format].takes
    files: dict[str, Kind] = {}
    for kind in takes:
        for split in SPLITS:
            prefix = f"{llama_factory.NAMES[kind]}_" if len(takes) > 1 else ""
            name = f"{prefix}{split}.{FORMATS[format].ending}"
            seen = (handled(feedback, handling, findings) for feedback in rows.feedback(kind, split))
            written = _write(out / name, FORMATS[format].write(lost.watched(seen, left_out), left_out))
            if written:
                files[name] = kind
                counts[split] += written
    if format == "llama-factory" and files:
        info = json.dumps(llama_factory.dataset_info(files), indent=2, ensure_ascii=False)
        (out / "dataset_info.json").write_text(info + "\n", encoding="utf-8")


def _write_tables(
    rows: Exported, out: Path, handling: Handling, findings: PersonalFindings, counts: Counter[str]
) -> None:
    """Pairs, marks, sft and groups as Parquet; an empty table has its columns too."""
    from alignment.dataset.compile.personal import handled
    from alignment.dataset.parquet import ParquetWriter
    from alignment.dataset.rows import to_record

    for name in ("pairs", "marks", "sft", "groups"):
        with ParquetWriter(out / f"{name}.parquet", name) as table:
            for row in rows.rows(name):
                table.add(to_record(handled(row, handling, findings)))
                counts[row.split] += 1


def _write(path: Path, records: Iterable[Record]) -> int:
    """The file, unless there is nothing to write; how many records it holds."""
    count = 0
    file: TextIO | None = None
    try:
        for count, record in enumerate(records, 1):
            if file is None:
                file = path.open("w", encoding="utf-8", newline="")
                _begin(file, path.suffix)
            _put(file, path.suffix, record, first=count == 1)
        if file is not None and path.suffix == ".json":
            file.write("\n]\n")
    finally:
        if file is not None:
            file.close()
    return count


def _begin(file: TextIO, suffix: str) -> None:
    if suffix == ".csv":
        csv.writer(file).writerow(COLUMNS)
    elif suffix == ".json":
        file.write("[\n")


def _put(file: TextIO, suffix: str, record: Record, *, first: bool) -> None:
    if suffix == ".csv":
        csv.writer(file).writerow([record[column] for column in COLUMNS])
    elif suffix == ".json":
        file.write(("" if first else ",\n") + json.dumps(record, ensure_ascii=False))
    else:
        file.write(json.dumps(record, ensure_ascii=False) + "\n")
