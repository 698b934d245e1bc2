"""How many rows of a file a second are imported, over how many a bare `executemany` of the same rows stores.

    python -m tests.bench.imports [--json FILE] [--databases sqlite postgres] [--rounds N] [--rows N] [--largest N]

A file of comparisons is read, checked, and stored as conversations, answers, tasks, tickets and judgements, as
`alignloop import` does it. What that left in the database is then inserted into an empty database of the same
schema, with all its indexes and foreign keys: one `executemany` of the driver's own a table, one commit, values
that were made before the clock ran. A row is a row of the file on both sides. Both are measured in turns; a ratio
is the median of the rounds' own ratios. Beside it stand the rows a second of processor time of this process, which
other work on the machine lengthens less. Memory is the high-water mark of a process that imports the file, and how
much more of it one of ten times the length takes.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

from tests.long.lines import provenance
from tests.long.processes import high_water

CONTAINERS = ("jsonl", "csv", "parquet")
DATABASES = ("sqlite", "postgres")
TABLES = ("conversation", "message", "task", "ticket", "judgement")
WORDS = ("river", "stone", "apple", "quiet", "winter", "garden", "letter", "bright", "mountain", "paper", "silver")


class Row(TypedDict):
    """One comparison, as every container holds it."""

    prompt: str
    chosen: str
    rejected: str


def rows(count: int) -> Iterator[Row]:
    """So many comparisons, all different; a question of a line, answers of a few."""
    draw = random.Random(count)
    for number in range(count):
        better, worse = (" ".join(draw.choices(WORDS, k=draw.randrange(20, 80))) for _ in range(2))
        prompt = f"Number {number}: tell me about the {' '.join(draw.choices(WORDS, k=8))}, please."
        yield {"prompt": prompt, "chosen": f"Gladly. {better}.", "rejected": f"No. {worse}."}


def write(folder: Path, container: str, count: int) -> Path:
    """The rows as a file of this kind."""
    path = folder / f"pairs-{count}.{container}"
    if container == "jsonl":
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows(count))
    elif container == "csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, list(Row.__annotations__))
            table.writeheader()
            table.writerows(rows(count))
    else:
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(list(rows(count))), path)
    return path


def bring(url: str, file: Path, count: int) -> None:
    """Import a file. Raises `AssertionError` when a row of it is missing afterwards."""
    from feedback_app.exchange import bring_in
    from feedback_app.store.database import open_store

    store = open_store(url)
    try:
        found = bring_in(store, file)
        assert found["imported"] == {"compare": count}, found
    finally:
        store.close()


class Bare:
    """What an import left in a database, to be inserted into others."""

    def __init__(self, url: str) -> None:
        from feedback_app.store.database import open_store

        self._open = open_store
        store = open_store(url)
        connection = store.database.engine.raw_connection()
        cursor = connection.cursor()
        self._rows: dict[str, list[tuple[Any, ...]]] = {}
        self._columns: dict[str, list[str]] = {}
        for table in ("person", *TABLES):
            cursor.execute(f"SELECT * FROM {table}")
            self._columns[table] = [f'"{column[0]}"' for column in cursor.description]
            self._rows[table] = [
                tuple(json.dumps(value) if isinstance(value, list | dict) else value for value in row)
                for row in cursor.fetchall()
            ]
        # A question before its answers, which name it: a database gives rows back in no order.
        parent = self._columns["message"].index('"parent_id"')
        self._rows["message"].sort(key=lambda row: row[parent] is not None)
        connection.close()
        store.close()

    def insert(self, url: str) -> tuple[float, float]:
        """Seconds by the clock and of the processor to insert everything into an empty database."""
        store = self._open(url)
        connection = store.database.engine.raw_connection()
        cursor = connection.cursor()
        sign = "?" if store.database.is_sqlite else "%s"
        statements = {
            table: f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join([sign] * len(columns))})"
            for table, columns in self._columns.items()
        }
        if store.database.is_sqlite:
            cursor.execute("BEGIN IMMEDIATE")
        cursor.executemany(statements["person"], self._rows["person"])
        began, clock = time.process_time(), time.perf_counter()
        for table in TABLES:
            cursor.executemany(statements[table], self._rows[table])
        cursor.execute("COMMIT") if store.database.is_sqlite else connection.commit()
        seconds = time.perf_counter() - clock, time.process_time() - began
        connection.close()
        store.close()
        return seconds


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    began, clock = time.process_time(), time.perf_counter()
    work()
    return time.perf_counter() - clock, time.process_time() - began


@contextmanager
def databases(kind: str, folder: Path) -> Iterator[Callable[[], str]]:
    """Something that makes new, empty databases of this kind and gives their URLs; their schema is there already."""
    from feedback_app.store.database import migrate

    made = 0

    def sqlite() -> str:
        nonlocal made
        made += 1
        url = f"sqlite:///{folder}/{made}.db"
        migrate(url)
        return url

    if kind == "sqlite":
        yield sqlite
        return
    from tests.postgres import ADVICE, PrivatePostgres, binaries

    programs = binaries()
    if programs is None:
        raise SystemExit(ADVICE)
    server = PrivatePostgres(programs)

    def postgres() -> str:
        url = server.new_database()
        migrate(url)
        return url

    try:
        server.start()
        yield postgres
    finally:
        server.stop()


def measure(kind: str, container: str, count: int, rounds: int) -> dict[str, Any]:
    """Both, in turns, for one kind of database and one kind of file."""
    with tempfile.TemporaryDirectory(prefix="alignloop-bench-") as name, databases(kind, Path(name)) as new:
        file = write(Path(name), container, count)
        first = new()
        bring(first, file, count)  # opens, imports and compiles everything once
        bare = Bare(first)
        ours: list[tuple[float, float]] = []
        theirs: list[tuple[float, float]] = []
        for number in range(rounds):
            if number % 2:
                theirs.append(bare.insert(new()))
            url = new()
            ours.append(timed(lambda url=url: bring(url, file, count)))  # type: ignore[misc]
            if not number % 2:
                theirs.append(bare.insert(new()))
    ratios = [other[0] / one[0] for one, other in zip(ours, theirs, strict=True)]
    return {
        "database": kind,
        "container": container,
        "rows_per_s": round(count / statistics.median(wall for wall, _ in ours)),
        "rows_per_cpu_s": round(count / statistics.median(cpu for _, cpu in ours)),
        "bare_per_s": round(count / statistics.median(wall for wall, _ in theirs)),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
    }


def peak(url: str, file: Path, count: int) -> int:
    """The high-water mark of this process after an import, bytes."""
    bring(url, file, count)
    return high_water(os.getpid())


def memory(container: str, largest: int) -> dict[str, Any]:
    """How much memory an import takes, and how much more one of ten times the rows. Each in a process of its own."""
    found = {}
    for count in (largest // 10, largest):
        with (
            tempfile.TemporaryDirectory(prefix="alignloop-bench-") as name,
            databases("sqlite", Path(name)) as new,
            multiprocessing.get_context("spawn").Pool(1) as pool,
        ):
            found[count] = pool.apply(peak, (new(), write(Path(name), container, count), count))
    return {
        "container": container,
        "peak_mib": {str(count): round(bytes / 2**20, 1) for count, bytes in found.items()},
        "growth_mib": round((found[largest] - found[largest // 10]) / 2**20, 1),
    }


def show_table(result: dict[str, Any]) -> None:
    """Print the result."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Rows imported over a bare executemany ({result['cores']} cores, load {result['load']:.1f})")
    for heading in ("database", "file", "rows/s", "rows/processor s", "bare/s", "ratio (min–max)"):
        table.add_column(heading, justify="right")
    for run in result["runs"]:
        table.add_row(
            run["database"],
            run["container"],
            str(run["rows_per_s"]),
            str(run["rows_per_cpu_s"]),
            str(run["bare_per_s"]),
            f"{run['ratio']:.2f} ({run['ratio_min']:.2f}–{run['ratio_max']:.2f})",
        )
    console = Console()
    console.print(table)
    for run in result["memory"]:
        peaks = ", ".join(f"{count} rows: {mib} MiB" for count, mib in run["peak_mib"].items())
        console.print(f"{run['container']}: {peaks}; {run['growth_mib']} MiB more")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=list(DATABASES))
    parser.add_argument("--containers", nargs="+", choices=CONTAINERS, default=list(CONTAINERS))
    parser.add_argument("--json", type=Path, help="also write the result here, as one line")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--largest", type=int, default=100_000, help="rows of the file whose memory is measured")
    chosen = parser.parse_args(arguments)
    result = {
        **provenance(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "rows": chosen.rows,
        "rounds": chosen.rounds,
        "runs": [
            measure(kind, container, chosen.rows, chosen.rounds)
            for kind in chosen.databases
            for container in chosen.containers
        ],
        "memory": [memory(container, chosen.largest) for container in chosen.containers] if chosen.largest else [],
    }
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(result) + "\n", encoding="utf-8")
    show_table(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
