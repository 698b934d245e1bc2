"""The same rows come out of every container, whatever the file is called."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import sys
import threading
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict

from tests.alignment.dataset.reading.containers import LINES, PAIRS, arrow, opened, records, table

pytestmark = pytest.mark.slow

CONVERSATION = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}


def zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, LINES)
    return out.getvalue()


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as packed:
        packed.write(data)
    return bytes(sink.getvalue().to_pybytes())


def parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(PAIRS), out, row_group_size=2)
    return out.getvalue()


WHOLE = json.dumps(PAIRS)
COLUMNS: dict[str, list[Any]] = {key: [pair[key] for pair in PAIRS] for key in PAIRS[0]}
CONTAINERS = {
    "json lines": ("json lines", LINES),
    "json lines with a mark": ("json lines", b"\xef\xbb\xbf" + LINES),
    "json lines with CRLF and blank lines": ("json lines", LINES.replace(b"\n", b"\r\n\r\n").strip()),
    "json lines in UTF-16": ("json lines", LINES.decode().encode("utf-16")),
    "json lines in big-endian UTF-16": ("json lines", b"\xfe\xff" + LINES.decode().encode("utf-16-be")),
    "json lines in UTF-32": ("json lines", LINES.decode().encode("utf-32")),
    "an array": ("json", WHOLE.encode()),
    "an array over many lines": ("json", json.dumps(PAIRS, indent=2).encode()),
    "objects over many lines": ("json", "\n".join(json.dumps(pair, indent=1) for pair in PAIRS).encode()),
    "columns": ("json", json.dumps(COLUMNS).encode()),
    "numbered columns": ("json", json.dumps({k: dict(enumerate(v)) for k, v in COLUMNS.items()}).encode()),
    "numbered rows": ("json", json.dumps(dict(enumerate(PAIRS))).encode()),
    "split columns": (
        "json",
        json.dumps({"columns": [*COLUMNS], "index": [0, 1, 2], "data": [[*p.values()] for p in PAIRS]}).encode(),
    ),
    "the viewer's rows": ("json", json.dumps({"features": [{}], "rows": [{"row": p} for p in PAIRS]}).encode()),
    "a list beside a version": ("json", json.dumps({"version": 1, "data": PAIRS}, indent=1).encode()),
    "csv": ("csv", table()),
    "csv with a mark": ("csv", b"\xef\xbb\xbf" + table()),
    "csv with semicolons": ("csv", table(";")),
    "csv with a hint": ("csv", b"sep=;\r\n" + table(";")),
    "tabs": ("csv", table("\t")),
    "csv in UTF-16": ("csv", table("\t").decode().encode("utf-16")),
    "gzip": ("json lines", gzip.compress(LINES)),
    "gzip of two parts": ("json lines", gzip.compress(LINES[:50]) + gzip.compress(LINES[50:])),
    "bz2": ("csv", bz2.compress(table())),
    "xz": ("json", lzma.compress(WHOLE.encode())),
    "zstd": ("json lines", zstd(LINES)),
    "zip": ("json lines", zipped("folder/pairs.jsonl", "__MACOSX/._pairs.jsonl", ".DS_Store")),
    "gzip in zstd": ("json lines", zstd(gzip.compress(LINES))),
    "zip in gzip": ("json lines", gzip.compress(zipped("pairs.jsonl"))),
    "parquet": ("parquet", parquet()),
    "parquet in gzip": ("parquet", gzip.compress(parquet())),
    "arrow file": ("arrow", arrow(stream=False)),
    "arrow stream": ("arrow", arrow()),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_holds_the_same_rows_under_any_name(container: str, tmp_path: Path) -> None:
    named, data = CONTAINERS[container]
    path = tmp_path / "feedback.txt"
    path.write_bytes(data)
    found, lines = opened(path)
    assert [line.record for line in lines] == PAIRS
    assert (found.container, found.table, found.notes) == (named, named == "csv", ())


def test_lines_are_numbered_as_an_editor_does_and_rows_from_one(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b'{"a": 1}\n\n{"a": \n{"a": 3}\n')
    assert [(line.number, line.record is None) for line in opened(path)[1]] == [(1, False), (3, True), (4, False)]
    path.write_bytes(table())
    assert [line.number for line in opened(path)[1]] == [2, 3, 5]  # the second question has two lines
    path.write_bytes(json.dumps(PAIRS, indent=2).encode())
    assert [line.number for line in opened(path)[1]] == [1, 2, 3]


@pytest.mark.parametrize(
    "record",
    [
        CONVERSATION,
        {"prompt": CONVERSATION["messages"][:1], "chosen": CONVERSATION["messages"][1:]},
        {"question": "Q", "answers": [{"text": "a", "score": 1}, {"text": "b", "score": 2}]},
        {"responses": ["a", "b"], "scores": [1, 2], "prompt": "Q"},
        {"fields": {"prompt": "Q"}, "responses": [{"status": "submitted"}]},
        {"id": 7, "data": {"prompt": "Q"}, "annotations": [{"result": []}]},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_one_object_that_asks_something_is_one_record(record: object, indent: int | None, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text(json.dumps(record, indent=indent))
    assert records(path) == [record]


def test_a_saved_dataset_is_read_from_its_folder(tmp_path: Path) -> None:
    rows = Dataset.from_list(PAIRS)
    rows.save_to_disk(tmp_path / "one", num_shards=2)
    DatasetDict({"train": rows, "test": rows.select([0])}).save_to_disk(tmp_path / "two")
    assert records(tmp_path / "one") == PAIRS
    found, lines = opened(tmp_path / "two")
    assert [line.record for line in lines] == [*PAIRS, PAIRS[0]]
    assert (found.container, found.notes) == ("saved dataset", ("All splits were read: train, test.",))


def test_a_folder_stands_for_its_one_file_or_the_parts_of_one_table(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("About.")
    (tmp_path / ".hidden").write_text("x")
    for part, row in enumerate(PAIRS):
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / f"train-{part:05}-of-00003.parquet")
    found, lines = opened(tmp_path)
    assert ([line.record for line in lines], found.notes) == (PAIRS, ("The 3 parts of one table were read.",))
    for part in (1, 2):
        (tmp_path / f"train-{part:05}-of-00003.parquet").unlink()
    assert records(tmp_path) == PAIRS[:1]


def test_a_pipe_and_standard_input_are_read_like_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(gzip.compress(LINES),))
    writer.start()
    assert records(pipe) == PAIRS
    writer.join()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(parquet())))
    assert records(None) == PAIRS


def test_a_code_page_is_read_and_said_where_no_letter_is_in_doubt(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes('{"a": "ok"}\n{"a": "Straße, Café, 5 €, “Größe” – naturally"}\n'.encode("cp1252"))
    found, lines = opened(path)
    assert lines[1].record == {"a": "Straße, Café, 5 €, “Größe” – naturally"}
    assert found.notes == ("This text is not UTF-8 (line 2); it was read as cp1252, of which Latin-1 is a part.",)


def test_values_that_json_does_not_know_come_as_text(tmp_path: Path) -> None:
    import datetime
    import decimal

    path = tmp_path / "x"
    row = {
        "at": datetime.datetime(2026, 1, 2, 3, 4),
        "cost": decimal.Decimal("1.50"),
        "text": b"plain",
        "image": {"bytes": b"\x89PNG\xff", "path": None},
        "none": None,
        "messages": CONVERSATION["messages"],
    }
    pq.write_table(pa.Table.from_pylist([row]), path)
    assert records(path) == [
        {
            "at": "2026-01-02T03:04:00",
            "cost": "1.50",
            "text": "plain",
            "image": {"bytes": {"bytes": 5}, "path": None},
            "none": None,
            "messages": CONVERSATION["messages"],
        }
    ]
