"""A snapshot: judgements and the rows compiled from them, frozen in a folder and named by one hash.

    judgements.jsonl  judgements.parquet    what people said, with opaque ids
    pairs.jsonl       pairs.parquet         rows in TRL's conversational form; also marks.* and sft.*
    groups.jsonl      groups.parquet        rankings as tie-groups, best first
    manifest.json                           counts, filters, watermark, and every file's SHA-256

The manifest holds no clock and no path, so equal input gives equal bytes, and the SHA-256 of the manifest
names the whole dataset. Stages read the JSONL; Parquet is for pandas and other tools.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from alignment.dataset.compile import Compiled
from alignment.dataset.compile.drafting import Rows
from alignment.dataset.compile.stream import Stream
from alignment.dataset.compile.survey import context_digest
from alignment.dataset.judgement import Judgement
from alignment.dataset.left_out import LeftOut
from alignment.dataset.row_files import completion, messages, rows_of
from alignment.dataset.rows import GroupRow, MarkRow, PairRow, SftRow, to_record
from alignment.errors import SnapshotProblem
from alignment.files import fingerprint

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST = "manifest.json"
ROW_GROUP = 20_000  # records of one Parquet row group
COLUMNS_FROM = 1_000  # records that wait as Python objects, ten times as large as in columns; it divides ROW_GROUP
TABLES = ("judgements", "pairs", "marks", "sft", "groups")
_AS_JSON = json.JSONEncoder(sort_keys=True, ensure_ascii=False)  # `json.dumps` would make one for every record
Use = Literal["policy", "reward"]
_Aging = TypeVar("_Aging", PairRow, MarkRow)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a snapshot holds. `files` maps a name to `sha256`, `bytes` and `rows`; `hash` is of manifest.json."""

    hash: str
    counts: dict[str, Any]
    filters: dict[str, Any]
    watermark: int
    files: dict[str, dict[str, Any]]

    def to_record(self) -> dict[str, Any]:
        """As a JSON object, `hash` included."""
        return asdict(self)


def write_snapshot(
    compiled: Compiled, judgements: Iterable[Judgement], folder: Path, *, filters: Mapping[str, Any], watermark: int
) -> Manifest:
    """Write a dataset folder; equal input gives equal bytes, whatever the order of the judgements.

    `filters` says which judgements were asked for and `watermark` how far they reach; both are only recorded.
    Raises `SnapshotProblem` when the folder already holds a snapshot or cannot be written.
    """
    ordered = sorted(judgements, key=lambda judgement: (context_digest(judgement.context), judgement.id))
    rows = Rows(list(compiled.pairs), list(compiled.marks), list(compiled.sft), list(compiled.groups))
    return write_contexts(
        [(ordered, rows)], folder, counts=lambda: compiled.counts, filters=filters, watermark=watermark
    )


def write_stream(stream: Stream, folder: Path, *, filters: Mapping[str, Any], watermark: int) -> Manifest:
    """`write_snapshot` for a compilation on disk: the same bytes, in memory that does not grow with them."""
    return write_contexts(stream.contexts(), folder, counts=lambda: stream.counts, filters=filters, watermark=watermark)


def write_contexts(
    contexts: Iterable[tuple[list[Judgement], Rows]],
    folder: Path,
    *,
    counts: Callable[[], Mapping[str, Any]],
    filters: Mapping[str, Any],
    watermark: int,
) -> Manifest:
    """`write_snapshot` for judgements and rows that come context by context, in memory that does not grow with them.

    `counts` is asked for when all of them have come.
    """
    if (folder / MANIFEST).exists():
        raise SnapshotProblem(f"{folder} already holds a snapshot; snapshots never change, so choose a new folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            tables = {name: stack.enter_context(TableWriter(folder, name)) for name in TABLES}
            for judgements, rows in contexts:
                for judgement in judgements:
                    tables["judgements"].add(judgement_record(judgement))
                for name in TABLES[1:]:
                    for row in getattr(rows, name):
                        tables[name].add(to_record(row))
        files: dict[str, dict[str, Any]] = {}
        for name, table in tables.items():
            for path in (folder / f"{name}.jsonl", folder / f"{name}.parquet"):
                files[path.name] = {**fingerprint(path), "rows": table.rows}
        body = {"counts": dict(counts()), "files": files, "filters": dict(filters), "watermark": watermark}
        text = json.dumps(body, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
        (folder / MANIFEST).write_text(text, encoding="utf-8")
    except OSError as error:
        raise SnapshotProblem(
            f"The snapshot could not be written to {folder}: {error.strerror or error}. Free some space or choose "
            "another ALIGNLOOP_HOME."
        ) from error
    return read_manifest(folder)


def judgement_record(judgement: Judgement) -> dict[str, Any]:
    """A JSON object with everything that a judgement holds."""
    record: dict[str, Any] = {name: getattr(judgement, name) for name in judgement.__slots__}
    record["context"] = [{"role": message.role, "content": message.content} for message in judgement.context]
    record["candidates"] = [
        {name: getattr(candidate, name) for name in candidate.__slots__} for candidate in judgement.candidates
    ]
    record["reasons"] = list(judgement.reasons)
    return record


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a dataset folder. Raises `SnapshotProblem` when there is none or it is not one."""
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
        body = json.loads(data)
        return Manifest(
            hash=hashlib.sha256(data).hexdigest(),
            counts=body["counts"],
            filters=body["filters"],
            watermark=body["watermark"],
            files=body["files"],
        )
    except FileNotFoundError as error:
        raise SnapshotProblem(f"{folder} holds no {MANIFEST}; name a folder that a snapshot was written to.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SnapshotProblem(f"{path} is not a snapshot's manifest: {error}.") from error


def verify_snapshot(folder: Path, expected_hash: str = "") -> Manifest:
    """The manifest, after checking every file against it. Raises `SnapshotProblem` naming what differs."""
    manifest = read_manifest(folder)
    if expected_hash and manifest.hash != expected_hash:
        raise SnapshotProblem(
            f"The dataset in {folder} is {manifest.hash[:12]}, but {expected_hash[:12]} was named; take a new snapshot."
        )
    for name, facts in manifest.files.items():
        path = folder / name
        if not path.is_file() or fingerprint(path)["sha256"] != facts["sha256"]:
            raise SnapshotProblem(f"{path} is missing or was changed after the snapshot; take a new snapshot.")
    return manifest


def read_pairs(
    folder: Path, split: str | None = None, *, use: Use = "policy", left: LeftOut | None = None
) -> list[PairRow]:
    """The pairs of a dataset folder, of one split or of both.

    For a policy (DPO), rows that are too close for one are left out and `weight` has the age of the answers
    in it (`age_weight` is then 1); for a reward model (`use="reward"`), all rows come as they were written.
    A row needs `prompt`, `chosen` and `rejected` (message lists or plain text); `weight`, `margin` and `target`
    default to 1 and `split` to train, so a hand-made file of TRL rows works too.
    A row with a message that is not text is counted in `left`.
    Raises `SnapshotProblem` naming the line that is not such a row.
    """

    def row(record: Mapping[str, Any]) -> PairRow:
        return PairRow(
            prompt=messages(record["prompt"]),
            chosen=completion(record["chosen"]),
            rejected=completion(record["rejected"]),
            weight=float(record.get("weight", 1.0)),
            margin=float(record.get("margin", 1.0)),
            judgements=tuple(record.get("judgements", ())),
            origin=record.get("origin", "file"),
            split=record.get("split", "train"),
            target=float(record.get("target", 1.0)),
            reward_only=bool(record.get("reward_only", False)),
            age_weight=float(record.get("age_weight", 1.0)),
        )

    rows = rows_of(folder / "pairs.jsonl", ("prompt", "chosen", "rejected"), row, left)
    wanted = [row for row in rows if split is None or row.split == split]
    return wanted if use == "reward" else [_aged(row) for row in wanted if not row.reward_only]


def read_marks(
    folder: Path, split: str | None = None, *, use: Use = "policy", left: LeftOut | None = None
) -> list[MarkRow]:
    """The good and bad rows of a dataset folder; see `read_pairs`."""

    def row(record: Mapping[str, Any]) -> MarkRow:
        return MarkRow(
            prompt=messages(record["prompt"]),
            completion=completion(record["completion"]),
            label=bool(record["label"]),
            weight=float(record.get("weight", 1.0)),
            judgements=tuple(record.get("judgements", ())),
            split=record.get("split", "train"),
            target=float(record.get("target", 1.0)),
            age_weight=float(record.get("age_weight", 1.0)),
            origin=record.get("origin", "file"),
        )

    rows = rows_of(folder / "marks.jsonl", ("prompt", "completion", "label"), row, left)
    wanted = [row for row in rows if split is None or row.split == split]
    return wanted if use == "reward" else [_aged(row) for row in wanted]


def read_sft(folder: Path, split: str | None = None, *, left: LeftOut | None = None) -> list[SftRow]:
    """The rows worth imitating of a dataset folder; see `read_pairs`."""

    def row(record: Mapping[str, Any]) -> SftRow:
        return SftRow(
            prompt=messages(record["prompt"]),
            completion=completion(record["completion"]),
            weight=float(record.get("weight", 1.0)),
            judgements=tuple(record.get("judgements", ())),
            split=record.get("split", "train"),
        )

    rows = rows_of(folder / "sft.jsonl", ("prompt", "completion"), row, left)
    return [row for row in rows if split is None or row.split == split]


def read_groups(folder: Path, split: str | None = None, *, left: LeftOut | None = None) -> list[GroupRow]:
    """The rankings of a dataset folder as tie-groups, best first; see `read_pairs`.

    They say the same as the pairs of origin `rank`: a listwise loss reads these and the pairs of other origins.
    A folder without the file has no rankings.
    """
    if not (folder / "groups.jsonl").is_file():
        return []

    def row(record: Mapping[str, Any]) -> GroupRow:
        return GroupRow(
            prompt=messages(record["prompt"]),
            completions=tuple(tuple(completion(text) for text in group) for group in record["groups"]),
            weight=float(record.get("weight", 1.0)),
            judgements=tuple(record.get("judgements", ())),
            split=record.get("split", "train"),
        )

    rows = rows_of(folder / "groups.jsonl", ("prompt", "groups"), row, left)
    return [row for row in rows if split is None or row.split == split]


def _aged(row: _Aging) -> _Aging:
    return row if row.age_weight == 1.0 else replace(row, weight=row.weight * row.age_weight, age_weight=1.0)


class TableWriter:
    """Writes one table as JSONL and as Parquet at once, `ROW_GROUP` records in memory at most, most as columns."""

    def __init__(self, folder: Path, name: str, ending: str = "") -> None:
        """`ending` is put behind both files' names."""
        self._json = (folder / f"{name}.jsonl{ending}").open("w", encoding="utf-8", newline="\n")
        self._parquet_path = folder / f"{name}.parquet{ending}"
        self._name = name
        self._waiting: list[dict[str, Any]] = []
        self._columns: list[pa.Table] = []
        self.rows = 0

    def __enter__(self) -> TableWriter:
        import pyarrow.parquet as pq

        self._parquet = pq.ParquetWriter(self._parquet_path, _schema(self._name), compression="zstd")
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._to_columns()
            self._write_group()
        finally:
            self._json.close()
            self._parquet.close()

    def add(self, record: dict[str, Any]) -> None:
        """Write one record, with sorted keys."""
        self._json.write(_AS_JSON.encode(record) + "\n")
        self._waiting.append(record)
        self.rows += 1
        if len(self._waiting) >= COLUMNS_FROM:
            self._to_columns()
        if self.rows % ROW_GROUP == 0:
            self._write_group()

    def _to_columns(self) -> None:
        import pyarrow as pa

        if self._waiting:
            self._columns.append(pa.Table.from_pylist(self._waiting, schema=_schema(self._name)))
            self._waiting.clear()

    def _write_group(self) -> None:
        import pyarrow as pa

        if self._columns:
            # Without combining, the encoder would see the seams, and equal rows would not be equal bytes.
            self._parquet.write_table(pa.concat_tables(self._columns).combine_chunks())
            self._columns.clear()


def _schema(name: str) -> pa.Schema:
    """Columns are fixed, so that an empty table has the same ones as a full one."""
    import pyarrow as pa

    turns = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    texts = pa.list_(pa.string())
    lineage = [("weight", pa.float64()), ("judgements", texts), ("split", pa.string())]
    candidate = pa.struct(
        [
            ("id", pa.string()),
            ("text", pa.string()),
            ("version", pa.string()),
            ("position", pa.int64()),
            ("finish_reason", pa.string()),
            ("rank", pa.int64()),
            ("mark", pa.string()),
            ("correction", pa.string()),
            ("excluded", pa.string()),
        ]
    )
    columns: dict[str, list[tuple[str, Any]]] = {
        "pairs": [
            ("prompt", turns),
            ("chosen", turns),
            ("rejected", turns),
            ("margin", pa.float64()),
            ("target", pa.float64()),
            ("reward_only", pa.bool_()),
            ("age_weight", pa.float64()),
            ("origin", pa.string()),
            *lineage,
        ],
        "marks": [
            ("prompt", turns),
            ("completion", turns),
            ("label", pa.bool_()),
            ("target", pa.float64()),
            ("age_weight", pa.float64()),
            ("origin", pa.string()),
            *lineage,
        ],
        "sft": [("prompt", turns), ("completion", turns), *lineage],
        "groups": [("prompt", turns), ("groups", pa.list_(texts)), *lineage],
        "judgements": [
            ("id", pa.string()),
            ("task", pa.string()),
            ("person", pa.string()),
            ("kind", pa.string()),
            ("context", turns),
            ("candidates", pa.list_(candidate)),
            ("conversation", pa.string()),
            ("strength", pa.string()),
            ("cannot_judge", pa.bool_()),
            ("scripted", pa.bool_()),
            ("at", pa.float64()),
            ("reasons", texts),
            ("comment", pa.string()),
            ("gold", pa.bool_()),
            ("repeat", pa.bool_()),
        ],
    }
    return pa.schema(columns[name])
