"""Taking judgements out of a stored snapshot: the one way in which a snapshot's files ever change.

What is erased is gone from every file, and the manifest counts how many judgements went; the counts of the
compilation stay as they were, because a version was trained on them. The folder gets another hash.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any

from alignment.dataset.snapshot import MANIFEST, Manifest, read_manifest
from alignment.dataset.tables import TABLES, TableWriter
from alignment.errors import SnapshotProblem
from alignment.files import fingerprint, json_lines, write_whole
from alignment.records import TableFile

_NEW = ".new"  # behind the name of what is being written


def erase_judgements(folder: Path, gone: Set[str]) -> Manifest:
    """Rewrite a snapshot without these judgements and without every row that names one of them.

    Doing it again changes nothing. A crash in between leaves files that no longer fit the manifest; doing it
    again then finishes it. Raises `SnapshotProblem` when there is no snapshot or it cannot be written.
    """
    manifest = read_manifest(folder)
    before = {name: facts["sha256"] for name, facts in manifest.files.items()}
    files: dict[str, TableFile] = {}
    try:
        for name in TABLES:
            rows = manifest.files[f"{name}.jsonl"]["rows"]
            if _touched(folder, name, gone, before):
                rows = _rewrite(folder, name, gone)
            for path in (folder / f"{name}.jsonl", folder / f"{name}.parquet"):
                files[path.name] = {**fingerprint(path), "rows": rows}
        if files == manifest.files:
            return manifest
        erased = manifest.files["judgements.jsonl"]["rows"] - files["judgements.jsonl"]["rows"]
        body = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        body |= {"files": files, "erased": erased + int(body.get("erased", 0))}
        write_whole(folder / MANIFEST, json.dumps(body, sort_keys=True, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise SnapshotProblem(
            f"{folder} could not be rewritten: {error.strerror or error}. Free some space and erase again."
        ) from error
    return read_manifest(folder)


def _touched(folder: Path, name: str, gone: Set[str], before: Mapping[str, str]) -> bool:
    """Whether a table holds any of them, or an erasure before this one was cut off in it."""
    for path in (folder / f"{name}.jsonl", folder / f"{name}.parquet"):
        if fingerprint(path)["sha256"] != before[path.name]:
            return True
    return any(_names(name, record) & gone for record in _records(folder / f"{name}.jsonl"))


def _rewrite(folder: Path, name: str, gone: Set[str]) -> int:
    """Write both files of a table beside themselves and put them in their places; how many records are left."""
    with TableWriter(folder, name, _NEW) as table:
        for record in _records(folder / f"{name}.jsonl"):
            if not _names(name, record) & gone:
                table.add(record)
    for file in (f"{name}.jsonl", f"{name}.parquet"):
        (folder / f"{file}{_NEW}").replace(folder / file)
    return table.rows


def _records(path: Path) -> Iterator[dict[str, Any]]:
    return (record for _, record in json_lines(path))


def _names(table: str, record: Mapping[str, Any]) -> set[str]:
    return {record["id"]} if table == "judgements" else set(record["judgements"])
