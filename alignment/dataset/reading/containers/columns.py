"""The rows of parquet and arrow files as JSON lines. It runs in the child alone (`unpack`), because it needs pyarrow.

Values that JSON has no word for become text: times in ISO 8601, decimals in full; bytes are text where they are UTF-8
and else only their number. A row that cannot be decoded is a problem of its own: `["what to count", "what to say"]`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any, BinaryIO

import pyarrow as pa

_AT_ONCE = 256  # rows that are Python objects together
_DAMAGED = json.dumps(["a row that cannot be decoded", "cannot be decoded"]).encode() + b"\n"
_TOO_DEEP = json.dumps(["nested too deeply", "is nested too deeply"]).encode() + b"\n"


def rows(file: BinaryIO, kind: str) -> Iterator[bytes]:
    """The rows of a "parquet", "arrow" or "arrow stream" file, each as a line; it is read from its descriptor.

    Raises `ValueError` or `OSError`.
    """
    for batch in _batches(file, kind):
        twice = [name for name, times in Counter(batch.schema.names).items() if times > 1]
        if twice:
            raise ValueError(f"more than one column called {', '.join(twice)}")
        for start in range(0, batch.num_rows, _AT_ONCE):
            yield from _lines(batch.slice(start, _AT_ONCE))


def _batches(file: BinaryIO, kind: str) -> Iterator[pa.RecordBatch]:
    # By its descriptor: pyarrow reads ahead in threads of its own, and one of those that still holds a file of Python's
    # when the interpreter ends aborts the process.
    with pa.OSFile(f"/dev/fd/{file.fileno()}") as native:
        native.seek(0)  # where a descriptor is opened as it stands
        if kind == "parquet":
            import pyarrow.parquet as pq

            found = pq.ParquetFile(native, pre_buffer=False)
            yield from found.iter_batches(batch_size=_AT_ONCE, use_threads=False)
        elif kind == "arrow":
            reader = pa.ipc.open_file(native)
            yield from (reader.get_batch(place) for place in range(reader.num_record_batches))
        else:
            yield from pa.ipc.open_stream(native)


def _lines(batch: pa.RecordBatch) -> Iterator[bytes]:
    try:
        # A crafted file may have offsets that point outside of it; they must be seen before they are followed.
        batch.validate(full=True)
        records = batch.to_pylist()
    except (pa.ArrowInvalid, ValueError):
        if batch.num_rows == 1:
            yield _DAMAGED
        else:
            for place in range(batch.num_rows):
                yield from _lines(batch.slice(place, 1))
        return
    for record in records:
        try:
            yield json.dumps(record, default=_plain, ensure_ascii=False).encode() + b"\n"
        except RecursionError:
            yield _TOO_DEEP


def _plain(value: Any) -> Any:
    match value:
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                return {"bytes": len(value)}
        case _:
            return str(value)
