"""A snapshot: judgements and the rows compiled from them, frozen in a folder and named by one hash.

    judgements.jsonl  judgements.parquet    what people said, with opaque ids
    pairs.jsonl       pairs.parquet         rows in TRL's conversational form; also marks.* and sft.*
    groups.jsonl      groups.parquet        rankings as tie-groups, best first
    manifest.json                           counts, filters, watermark, and every file's SHA-256

The manifest holds no clock and no path, so equal input gives equal bytes, and the SHA-256 of the manifest
names the whole dataset. Stages read the JSONL; Parquet is for pandas and other tools.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from alignment.compile import Compiled
from alignment.errors import SnapshotProblem
from alignment.judgement import Judgement, Message
from alignment.rows import GroupRow, MarkRow, PairRow, SftRow, to_record

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST = "manifest.json"
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

    `filters` says which judgements were asked for and `watermark` is the newest judgement's serial; both
    are only recorded. Raises `SnapshotProblem` when the folder already holds a snapshot or cannot be written.
    """
    tables: dict[str, list[dict[str, Any]]] = {
        "judgements": [asdict(judgement) for judgement in sorted(judgements, key=lambda judgement: judgement.id)],
        "pairs": [to_record(row) for row in compiled.pairs],
        "marks": [to_record(row) for row in compiled.marks],
        "sft": [to_record(row) for row in compiled.sft],
        "groups": [to_record(row) for row in compiled.groups],
    }
    if (folder / MANIFEST).exists():
        raise SnapshotProblem(f"{folder} already holds a snapshot; snapshots never change, so choose a new folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files: dict[str, dict[str, Any]] = {}
        for name, records in tables.items():
            _write_jsonl(folder / f"{name}.jsonl", records)
            _write_parquet(folder / f"{name}.parquet", name, records)
            for path in (folder / f"{name}.jsonl", folder / f"{name}.parquet"):
                files[path.name] = {**_fingerprint(path), "rows": len(records)}
        body = {"counts": compiled.counts, "files": files, "filters": dict(filters), "watermark": watermark}
        text = json.dumps(body, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
        (folder / MANIFEST).write_text(text, encoding="utf-8")
    except OSError as error:
        raise SnapshotProblem(
            f"The snapshot could not be written to {folder}: {error.strerror or error}. Free some space or choose "
            "another ALIGNLOOP_HOME."
        ) from error
    return read_manifest(folder)


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
        if not path.is_file() or _fingerprint(path)["sha256"] != facts["sha256"]:
            raise SnapshotProblem(f"{path} is missing or was changed after the snapshot; take a new snapshot.")
    return manifest


def read_pairs(folder: Path, split: str | None = None, *, use: Use = "policy") -> list[PairRow]:
    """The pairs of a dataset folder, of one split or of both.

    For a policy (DPO), rows that are too close for one are left out and `weight` has the age of the answers
    in it (`age_weight` is then 1); for a reward model (`use="reward"`), all rows come as they were written.
    A row needs `prompt`, `chosen` and `rejected` (message lists or plain text); `weight`, `margin` and `target`
    default to 1 and `split` to train, so a hand-made file of TRL rows works too.
    Raises `SnapshotProblem` naming the line that is not such a row.
    """
    rows = [
        PairRow(
            prompt=_messages(record["prompt"]),
            chosen=_completion(record["chosen"]),
            rejected=_completion(record["rejected"]),
            weight=float(record.get("weight", 1.0)),
            margin=float(record.get("margin", 1.0)),
            judgements=tuple(record.get("judgements", ())),
            origin=record.get("origin", "file"),
            split=record.get("split", "train"),
            target=float(record.get("target", 1.0)),
            reward_only=bool(record.get("reward_only", False)),
            age_weight=float(record.get("age_weight", 1.0)),
        )
        for record in _checked(folder / "pairs.jsonl", ("prompt", "chosen", "rejected"))
    ]
    wanted = [row for row in rows if split is None or row.split == split]
    return wanted if use == "reward" else [_aged(row) for row in wanted if not row.reward_only]


def read_marks(folder: Path, split: str | None = None, *, use: Use = "policy") -> list[MarkRow]:
    """The good and bad rows of a dataset folder; see `read_pairs`."""
    rows = [
        MarkRow(
            prompt=_messages(record["prompt"]),
            completion=_completion(record["completion"]),
            label=bool(record["label"]),
            weight=float(record.get("weight", 1.0)),
            judgements=tuple(record.get("judgements", ())),
            split=record.get("split", "train"),
            target=float(record.get("target", 1.0)),
            age_weight=float(record.get("age_weight", 1.0)),
            origin=record.get("origin", "file"),
        )
        for record in _checked(folder / "marks.jsonl", ("prompt", "completion", "label"))
    ]
    wanted = [row for row in rows if split is None or row.split == split]
    return wanted if use == "reward" else [_aged(row) for row in wanted]


def read_sft(folder: Path, split: str | None = None) -> list[SftRow]:
    """The rows worth imitating of a dataset folder; see `read_pairs`."""
    rows = [
        SftRow(
            prompt=_messages(record["prompt"]),
            completion=_completion(record["completion"]),
            weight=float(record.get("weight", 1.0)),
            judgements=tuple(record.get("judgements", ())),
            split=record.get("split", "train"),
        )
        for record in _checked(folder / "sft.jsonl", ("prompt", "completion"))
    ]
    return [row for row in rows if split is None or row.split == split]


def read_groups(folder: Path, split: str | None = None) -> list[GroupRow]:
    """The rankings of a dataset folder as tie-groups, best first; see `read_pairs`.

    They say the same as the pairs of origin `rank`: a listwise loss reads these and the pairs of other origins.
    """
    rows = [
        GroupRow(
            prompt=_messages(record["prompt"]),
            completions=tuple(tuple(_completion(text) for text in group) for group in record["completions"]),
            weight=float(record.get("weight", 1.0)),
            judgements=tuple(record.get("judgements", ())),
            split=record.get("split", "train"),
        )
        for record in _checked(folder / "groups.jsonl", ("prompt", "completions"))
    ]
    return [row for row in rows if split is None or row.split == split]


def _aged(row: _Aging) -> _Aging:
    return row if row.age_weight == 1.0 else replace(row, weight=row.weight * row.age_weight, age_weight=1.0)


def _checked(path: Path, needed: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The JSON objects of a JSONL file that have the needed keys."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise SnapshotProblem(f"{path} does not exist; name a folder that holds {path.name}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SnapshotProblem(f"{path} cannot be read: {error}.") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise SnapshotProblem(f"{path}, line {number} is not JSON: write one JSON object a line.") from error
        if not isinstance(record, dict) or any(key not in record for key in needed):
            raise SnapshotProblem(f"{path}, line {number} needs the keys {', '.join(needed)}.")
        yield record


def _messages(value: Any) -> tuple[Message, ...]:
    if isinstance(value, str):
        return (Message("user", value),)
    return tuple(Message(str(turn["role"]), str(turn["content"])) for turn in value)


def _completion(value: Any) -> str:
    return value if isinstance(value, str) else "".join(str(turn["content"]) for turn in value)


def _write_jsonl(path: Path, records: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for record in records:
            file.write(json.dumps(record, sort_keys=True, ensure_ascii=False) + "\n")


def _write_parquet(path: Path, name: str, records: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(records, schema=_schema(name)), path, compression="zstd")


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
        "groups": [("prompt", turns), ("completions", pa.list_(texts)), *lineage],
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
        ],
    }
    return pa.schema(columns[name])


def _fingerprint(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
