"""Writing what was compiled into a dataset folder (`alignment.dataset.snapshot`): equal input gives equal bytes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from alignment.dataset.compile.drafted_context import Rows
from alignment.dataset.judgement import Judgement
from alignment.dataset.rows import to_record
from alignment.dataset.snapshot import MANIFEST, Manifest, read_manifest
from alignment.dataset.tables import TABLES, TableWriter
from alignment.errors import SnapshotProblem
from alignment.files import fingerprint
from alignment.records import SnapshotCounts, SnapshotFilters, TableFile


def write_snapshot(
    contexts: Iterable[tuple[list[Judgement], Rows]],
    folder: Path,
    *,
    counts: Callable[[], SnapshotCounts],
    filters: SnapshotFilters,
    watermark: int,
) -> Manifest:
    """Write a dataset folder from judgements and rows that come context by context, as `Stream.contexts` has them.

    Memory does not grow with them. `counts` is asked for when all of them have come. `filters` says which judgements
    were asked for and `watermark` how far they reach; both are only recorded.
    Raises `SnapshotProblem` when the folder already holds a snapshot or cannot be written.
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
        files: dict[str, TableFile] = {}
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
