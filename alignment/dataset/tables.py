"""The tables of a snapshot, each written as JSONL and as Parquet: which there are, their columns, and their writer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

TABLES = ("judgements", "pairs", "marks", "sft", "groups")
ROW_GROUP = 20_000  # records of one Parquet row group
COLUMNS_FROM = 1_000  # records that wait as Python objects, ten times as large as in columns; it divides ROW_GROUP
_AS_JSON = json.JSONEncoder(sort_keys=True, ensure_ascii=False)  # `json.dumps` would make one for every record


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
