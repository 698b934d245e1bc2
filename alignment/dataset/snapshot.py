"""A snapshot: judgements and the rows compiled from them, frozen in a folder and named by one hash.

    judgements.jsonl  judgements.parquet    what people said, with opaque ids
    pairs.jsonl       pairs.parquet         rows in TRL's conversational form; also marks.* and sft.*
    groups.jsonl      groups.parquet        rankings as tie-groups, best first
    manifest.json                           counts, filters, watermark, and every file's SHA-256

The manifest holds no clock and no path, so equal input gives equal bytes, and the SHA-256 of the manifest
names the whole dataset. Stages read the JSONL; Parquet is for pandas and other tools.

What may not be done here: writing (`compile.snapshot_writer`, and `erasure` takes judgements out again), and reading
rows (`reading.folder`).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from alignment.errors import SnapshotProblem
from alignment.files import fingerprint
from alignment.records import SnapshotCounts, SnapshotFilters, SnapshotRecord, TableFile

MANIFEST = "manifest.json"


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
