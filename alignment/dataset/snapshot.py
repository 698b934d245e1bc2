"""A snapshot: judgements and the rows compiled from them, frozen in a folder and named by one hash.

    judgements.jsonl  judgements.parquet    what people said, with opaque ids
    pairs.jsonl       pairs.parquet         rows in TRL's conversational form; also marks.* and sft.*
    groups.jsonl      groups.parquet        rankings as tie-groups, best first
    manifest.json                           counts, filters, watermark, and every file's SHA-256

The manifest holds no clock and no path, so equal input gives equal bytes, and the SHA-256 of the manifest
names the whole dataset. Stages read the JSONL; Parquet is for pandas and other tools.

What may not be done here: writing (`compile.snapshot_writer`, and `erasure` takes judgements out again).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from alignment.dataset.left_out import LeftOut
from alignment.dataset.row_files import completion, messages, rows_of
from alignment.dataset.rows import GroupRow, MarkRow, PairRow, SftRow
from alignment.errors import SnapshotProblem
from alignment.files import fingerprint
from alignment.records import SnapshotCounts, SnapshotFilters, SnapshotRecord, TableFile

MANIFEST = "manifest.json"
Use = Literal["policy", "reward"]
_Aging = TypeVar("_Aging", PairRow, MarkRow)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a snapshot holds. `files` maps a name to `sha256`, `bytes` and `rows`; `hash` is of manifest.json."""

    hash: str
    counts: SnapshotCounts
    filters: SnapshotFilters
    watermark: int
    files: dict[str, TableFile]

    def to_record(self) -> SnapshotRecord:
        """As a JSON object, `hash` included."""
        return cast(SnapshotRecord, asdict(self))


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
