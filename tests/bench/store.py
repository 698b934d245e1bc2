"""How many judgements a second are stored, over how many bare commits a second the same database takes.

    python -m tests.bench.store [--postgres] [--json FILE] [--rounds N] [--judgements N]

A judgement goes through `collect.judge`, as from a page: the ticket is looked up, the verdict checked, and
one transaction stores it after asking for the live one and the next serial. A bare commit inserts a row of
the same size into a table of its own in the same database, through the same engine. Both are measured in
turns, one voter alone and fifty at once; a ratio is the median of the rounds' own ratios. Nothing is
buffered: each call returns when its row is committed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import text

from feedback_app.collect.judge import compare_verdict, judge
from feedback_app.store.database import Store, open_store
from feedback_app.store.tables import Person
from tests.feedback_app.builders import Shown, show

VOTERS = (1, 50)
BARE = "INSERT INTO bare_commit (id, verdict) VALUES (:id, :verdict)"


class Voting:
    """Tickets that wait for a verdict, and the two things that are timed."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._people = [store.people.add(f"voter {number}", "annotator", "") for number in range(max(VOTERS))]
        self._numbers = count()
        with store.database.write() as session:
            session.execute(text("CREATE TABLE bare_commit (id INTEGER PRIMARY KEY, verdict TEXT)"))

    def tickets(self, judgements: int) -> list[tuple[Person, Shown]]:
        """New tickets, dealt to the voters in turns."""
        people = [self._people[number % len(self._people)] for number in range(judgements)]
        return [(person, show(self.store, person, f"Paris {next(self._numbers)}.", "Paris!")) for person in people]

    def judge(self, ticket: tuple[Person, Shown]) -> float:
        """Store one verdict; seconds until it was committed."""
        person, shown = ticket
        verdict = compare_verdict(shown.ticket.order, "a_clearly", reasons=["true"], comment="Warmer.")
        started = time.perf_counter()
        judge(self.store, person, shown.id, verdict)
        return time.perf_counter() - started

    def commit(self, number: int) -> float:
        """Commit one bare row; seconds it took."""
        verdict = json.dumps({"ranks": {"a" * 22: 1, "b" * 22: 2}, "reasons": ["true"], "comment": "Warmer." * 20})
        started = time.perf_counter()
        with self.store.database.write() as session:
            session.execute(text(BARE), {"id": number, "verdict": verdict})
        return time.perf_counter() - started

    def numbers(self, commits: int) -> list[int]:
        """New keys for bare rows."""
        return [next(self._numbers) for _ in range(commits)]


def timed(work: Callable[[Any], float], items: Sequence[Any], voters: int) -> tuple[float, list[float]]:
    """Do the work on every item, `voters` at once: how many a second, and each one's seconds."""
    with ThreadPoolExecutor(voters) as pool:
        started = time.perf_counter()
        seconds = list(pool.map(work, items))
        return len(items) / (time.perf_counter() - started), seconds


def measure(store: Store, rounds: int, judgements: int) -> dict[str, Any]:
    """Both, in turns, at every number of voters."""
    voting = Voting(store)
    timed(voting.judge, voting.tickets(20), 1)  # the first calls open connections and compile statements
    timed(voting.commit, voting.numbers(20), 1)
    levels = {}
    for voters in VOTERS:
        stored, bare, waits = [], [], []
        for number in range(rounds):
            tickets, keys = voting.tickets(judgements), voting.numbers(judgements)
            if number % 2:
                bare.append(timed(voting.commit, keys, voters)[0])
            rate, seconds = timed(voting.judge, tickets, voters)
            stored.append(rate)
            waits += seconds
            if not number % 2:
                bare.append(timed(voting.commit, keys, voters)[0])
        ratios = [one / other for one, other in zip(stored, bare, strict=True)]
        levels[str(voters)] = {
            "judgements_per_s": round(statistics.median(stored), 1),
            "commits_per_s": round(statistics.median(bare), 1),
            "ratio": round(statistics.median(ratios), 3),
            "ratio_min": round(min(ratios), 3),
            "ratio_max": round(max(ratios), 3),
            "median_s": round(statistics.median(waits), 4),
            "p99_s": round(sorted(waits)[int(0.99 * len(waits))], 4),
        }
    kept = store.judgements.counts()["total"]
    expected = 20 + rounds * judgements * len(VOTERS)
    if kept != expected:
        raise AssertionError(f"{expected} judgements were acknowledged and {kept} are there")
    return levels


@contextmanager
def database(postgres: bool) -> Iterator[str]:
    """The URL of a new, empty database."""
    if not postgres:
        with tempfile.TemporaryDirectory(prefix="alignloop-bench-") as folder:
            yield f"sqlite:///{folder}/alignloop.db"
        return
    from tests.postgres import ADVICE, PrivatePostgres, binaries

    programs = binaries()
    if programs is None:
        raise SystemExit(ADVICE)
    server = PrivatePostgres(programs)
    try:
        server.start()
        yield server.new_database()
    finally:
        server.stop()


def bench(postgres: bool = False, rounds: int = 7, judgements: int = 200) -> dict[str, Any]:
    """Measure one kind of database."""
    with database(postgres) as url:
        store = open_store(url)
        try:
            levels = measure(store, rounds, judgements)
        finally:
            store.close()
    return {
        "measured": "store",
        "database": "postgres" if postgres else "sqlite",
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "rounds": rounds,
        "judgements": judgements,
        "voters": levels,
    }


def show_table(result: dict[str, Any]) -> None:
    """Print the result."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"Judgements stored over bare commits ({result['database']}, {result['cores']} cores, "
        f"load {result['load_average']:.1f})"
    )
    for heading in ("voters", "judgements/s", "commits/s", "ratio (min–max)", "median", "99 %"):
        table.add_column(heading, justify="right")
    for voters, row in result["voters"].items():
        table.add_row(
            voters,
            f"{row['judgements_per_s']:.0f}",
            f"{row['commits_per_s']:.0f}",
            f"{row['ratio']:.2f} ({row['ratio_min']:.2f}–{row['ratio_max']:.2f})",
            f"{1000 * row['median_s']:.1f} ms",
            f"{1000 * row['p99_s']:.1f} ms",
        )
    Console().print(table)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgres", action="store_true", help="a private PostgreSQL instead of SQLite")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--judgements", type=int, default=200, help="per round and number of voters")
    options = parser.parse_args()
    result = bench(options.postgres, options.rounds, options.judgements)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1))
    show_table(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
