"""The tables of a snapshot, each written as JSONL and as Parquet: which there are, and their writer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from alignment.dataset.parquet import ParquetWriter

TABLES = ("judgements", "pairs", "marks", "sft", "groups")
_AS_JSON = json.JSONEncoder(sort_keys=True, ensure_ascii=False)  # `json.dumps` would make one for every record


class TableWriter:
    """Writes one table as JSONL and as Parquet at once."""

    def __init__(self, folder: Path, name: str, ending: str = "") -> None:
        """`ending` is put behind both files' names."""
        self._json = (folder / f"{name}.jsonl{ending}").open("w", encoding="utf-8", newline="\n")
        self._parquet_path = folder / f"{name}.parquet{ending}"
        self._name = name

    def __enter__(self) -> TableWriter:
        self._parquet = ParquetWriter(self._parquet_path, self._name)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._parquet.close()
        finally:
            self._json.close()

    @property
    def rows(self) -> int:
        """How many records were written."""
        return self._parquet.rows

    def add(self, record: dict[str, Any]) -> None:
        """Write one record, with sorted keys."""
        self._json.write(_AS_JSON.encode(record) + "\n")
        self._parquet.add(record)
