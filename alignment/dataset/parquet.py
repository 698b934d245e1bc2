"""Tables of a dataset as Parquet: judgements, pairs, marks, sft and groups, always with the same columns.

    every table of rows   prompt (turns of role and content), weight, judgements (ids), split (train or held_out)
    pairs                 chosen and rejected (turns), margin, target, reward_only, age_weight, origin
    marks                 completion (turns), label (good?), target, age_weight, origin
    sft                   completion (turns)
    groups                groups (answers that tie, best first, as plain texts)
    judgements            what one person said of the candidates of one task

What the columns of rows mean is said once, in `alignment.dataset.rows`. Reading is `frames`' business.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 20_000  # records of one Parquet row group
COLUMNS_FROM = 1_000  # records that wait as Python objects, ten times as large as in columns; it divides ROW_GROUP


class ParquetWriter:
    """Writes one table as Parquet, `ROW_GROUP` records in memory at most, most of them as columns."""

    def __init__(self, path: Path, name: str) -> None:
        """`name` says which table it is, and so its columns."""
        import pyarrow.parquet as pq

        self._schema = schema_of(name)
        self._file = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._waiting: list[dict[str, Any]] = []
        self._columns: list[pa.Table] = []
        self.rows = 0

    def __enter__(self) -> ParquetWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what waits, and the end of the file."""
        try:
            self._to_columns()
            self._write_group()
        finally:
            self._file.close()

    def add(self, record: dict[str, Any]) -> None:
        """Write one record."""
        self._waiting.append(record)
        self.rows += 1
        if len(self._waiting) >= COLUMNS_FROM:
            self._to_columns()
        if self.rows % ROW_GROUP == 0:
            self._write_group()

    def _to_columns(self) -> None:
        import pyarrow as pa

        if self._waiting:
            self._columns.append(pa.Table.from_pylist(self._waiting, schema=self._schema))
            self._waiting.clear()

    def _write_group(self) -> None:
        import pyarrow as pa

        if self._columns:
            # Without combining, the encoder would see the seams, and equal rows would not be equal bytes.
            self._file.write_table(pa.concat_tables(self._columns).combine_chunks())
            self._columns.clear()


def schema_of(name: str) -> pa.Schema:
    """The columns of a table. They are fixed, so that an empty table has the same ones as a full one."""
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
