"""Columns are read by pyarrow alone: no thread of its own ever holds a file of Python's when the child ends."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alignment.dataset.reading.containers import columns
from tests.alignment.dataset.reading.containers import PAIRS, arrow


class Watched(io.FileIO):
    """A file that knows which threads read it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.readers: set[int] = set()

    def read(self, *size: int) -> bytes:
        self.readers.add(threading.get_ident())
        return super().read(*size) or b""

    def seek(self, place: int, whence: int = 0, /) -> int:
        self.readers.add(threading.get_ident())
        return super().seek(place, whence)


@pytest.mark.parametrize("kind", ["parquet", "arrow", "arrow stream"])
def test_no_other_thread_reads_a_file_of_pythons(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(PAIRS * 500), path)
    else:
        path.write_bytes(arrow(PAIRS * 500, stream=kind == "arrow stream"))
    with Watched(path) as file:
        found = [json.loads(line) for line in columns.rows(file, kind)]
    assert found == PAIRS * 500
    assert file.readers <= {threading.get_ident()}
