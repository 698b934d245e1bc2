"""A file that was made to fill memory or time ends its child; ours stays small, and says so in one sentence."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignment.dataset.reading.containers import LIMITS, open_container
from alignment.errors import ReadingProblem
from tests.alignment.dataset.reading.containers import LINES, PAIRS, arrow, opened, records, table

pytestmark = pytest.mark.slow

MIB = 2**20
SMALL = replace(LIMITS, ratio_from=8 * MIB, memory=256 * MIB, processor_s=20)
GROWTH = 20 * MIB
ROW = {"prompt": "A question of some length? " * 8, "chosen": "An answer. " * 20, "rejected": "Another. " * 20}


@contextmanager
def bounded(growth: int) -> Iterator[None]:
    """What Python allocates in here at any one time is at most this many bytes."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] <= growth
    finally:
        tracemalloc.stop()


def bomb(path: Path) -> None:
    """64 MiB of JSON lines in some tens of kilobytes."""
    with gzip.open(path, "wb") as file:
        for _ in range(64):
            file.write(b'{"prompt": "' + b"a" * (MIB - 15) + b'"}\n')


def test_a_gzip_bomb_ends_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x"
    bomb(path)
    with bounded(64 * MIB), pytest.raises(ReadingProblem, match="unpacks to more than 250 times its size"):
        opened(path, SMALL)


def test_a_zip_bomb_within_gzip_ends_in_a_sentence(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.jsonl", "w") as member:
        for _ in range(64):
            member.write(b"[" * MIB)
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(inner.getvalue()))
    with bounded(64 * MIB), pytest.raises(ReadingProblem, match=r"unpacks to more than|more than .* characters"):
        opened(path, SMALL)


def test_what_unpacks_to_more_than_the_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(LINES * 1000))
    with pytest.raises(ReadingProblem, match="unpacks to more than 100,000 bytes"):
        opened(path, replace(LIMITS, size=100_000))


def test_a_parquet_bomb_ends_in_a_sentence(tmp_path: Path) -> None:
    """One value in a dictionary, a million times."""
    path = tmp_path / "x"
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_000, pa.int32()), pa.array(["a" * 1000]))
    pq.write_table(pa.table({"prompt": text.cast(pa.dictionary(pa.int32(), pa.string()))}), path)
    assert path.stat().st_size < 200_000
    with bounded(64 * MIB), pytest.raises(ReadingProblem, match="unpacks to more than 250 times its size"):
        opened(path, SMALL)


@pytest.mark.parametrize("change", ["length", "cut", "inside"])
def test_a_parquet_file_with_a_lying_footer_ends_in_a_sentence(change: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    pq.write_table(pa.Table.from_pylist(PAIRS), path)
    data = path.read_bytes()
    lies = {
        "length": data[:-8] + b"\xff\xff\xff\x7fPAR1",
        "cut": data[: len(data) // 2] + data[-8:],
        "inside": data[:-60] + b"\xff" * 40 + data[-20:],
    }
    path.write_bytes(lies[change])
    with bounded(16 * MIB), pytest.raises(ReadingProblem, match=r"is not a whole parquet file|ended the process"):
        opened(path, SMALL)


def test_a_file_that_needs_too_much_memory_ends_its_child(tmp_path: Path) -> None:
    path = tmp_path / "x"
    pq.write_table(pa.table({"prompt": ["a" * (40 * MIB)]}), path)
    with bounded(16 * MIB), pytest.raises(ReadingProblem, match=r"memory|not a whole|ended the process"):
        opened(path, replace(SMALL, memory=24 * MIB))


def test_a_file_that_takes_too_long_ends_its_child(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(arrow(PAIRS * 60_000))
    with pytest.raises(ReadingProblem, match="takes more than 1 s of processor time"):
        opened(path, replace(SMALL, processor_s=1))


def test_half_a_million_brackets_end_in_problems(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for data in (b"[" * 500_000, b'{"a":' * 100_000, b"[" * 5000 + b"]" * 5000, b'[{"a":' * 5000):
        path.write_bytes(data)
        with bounded(16 * MIB):
            assert {type(record) for record in records(path)} == {str}


def test_the_child_ends_when_nobody_reads_on(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(arrow(PAIRS * 20_000))
    others = set(psutil.Process().children())  # servers that other tests share
    with open_container(path) as found:
        assert next(found.lines).record == PAIRS[0]
        (child,) = set(psutil.Process().children()) - others
    assert not child.is_running()


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(arrow(PAIRS * 20_000))
    code = (
        "import sys, os, signal, psutil; from pathlib import Path\n"
        "from alignment.dataset.reading.containers import open_container\n"
        "with open_container(Path(sys.argv[1])) as found:\n"
        "    next(found.lines); print(psutil.Process().children()[0].pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    child = int(ended.stdout)
    _, alive = psutil.wait_procs([psutil.Process(child)] if psutil.pid_exists(child) else [], timeout=10)
    assert not [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]


def many(path: Path, container: str, rows: int) -> None:
    """A file with this many rows, a thousand of them in memory."""
    line = json.dumps(ROW)
    if container == "json lines":
        with path.open("w") as file:
            file.writelines(f"{line}\n" for _ in range(rows))
    elif container == "json":
        with path.open("w") as file:
            file.write(f"[{line}")
            file.writelines(f",\n{line}" for _ in range(rows - 1))
            file.write("]")
    elif container == "csv":
        data = table(rows=[ROW])
        header, row = data.split(b"\r\n", 1)
        with path.open("wb") as out:
            out.write(header + b"\r\n")
            out.writelines(row for _ in range(rows))
    else:
        batch = pa.Table.from_pylist([ROW] * 1000)
        with pq.ParquetWriter(path, batch.schema) as writer:
            for _ in range(rows // 1000):
                writer.write_table(batch)


@pytest.mark.parametrize("container", ["json lines", "json", "csv", "parquet"])
def test_memory_does_not_grow_with_the_rows(container: str, tmp_path: Path) -> None:
    peaks: dict[int, int] = {}
    for rows in (10_000, 100_000):
        path = tmp_path / f"{rows}"
        many(path, container, rows)
        tracemalloc.start()
        with open_container(path) as found:
            assert found.container == container
            assert sum(line.record == ROW for line in found.lines) == rows
        peaks[rows] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[100_000] - peaks[10_000] <= GROWTH


SEEDS = [LINES, json.dumps(PAIRS).encode(), table(), table(";"), LINES.decode().encode("utf-16"), b"- a: 1\n"]
PACKED = [gzip.compress(LINES), arrow(), arrow(stream=False)]
CHANGE = st.tuples(
    st.integers(0, 2000), st.integers(0, 20), st.binary(max_size=8) | st.sampled_from([b'"', b"[", b"{"])
)


def changed(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    for place, removed, put in changes:
        at = place % (len(data) + 1)
        data = data[:at] + put + data[at + removed :]
    return data


def rows_or_a_sentence(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    sentence, lines = "", []
    try:
        _, lines = opened(path, SMALL)
    except ReadingProblem as problem:
        sentence = str(problem)
    assert "\n" not in sentence
    assert all((line.record is None) == bool(line.problem) and line.number >= 1 for line in lines)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bytes") / "x"


TEXTS = st.binary(max_size=300) | st.builds(changed, st.sampled_from(SEEDS), st.lists(CHANGE, max_size=4))


@settings(max_examples=400, deadline=None)
@given(data=TEXTS.filter(lambda data: not data.startswith((b"\x1f\x8b", b"BZh", b"\xff\xff\xff\xff"))))
def test_any_bytes_give_rows_or_a_sentence(scratch: Path, data: bytes) -> None:
    rows_or_a_sentence(scratch, data)


@settings(max_examples=15, deadline=None)
@given(seed=st.sampled_from(PACKED), changes=st.lists(CHANGE, min_size=1, max_size=3))
def test_any_bytes_in_an_archive_or_columns_give_rows_or_a_sentence(
    scratch: Path, seed: bytes, changes: list[tuple[int, int, bytes]]
) -> None:
    rows_or_a_sentence(scratch, seed[:8] + changed(seed[8:], changes))


def test_reading_may_stop_after_some_rows(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(LINES * 100)
    with open_container(path) as found:
        assert len(list(islice(found.lines, 5))) == 5
