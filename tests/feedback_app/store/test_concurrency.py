"""Many writers at once, and writers that are killed: no lock errors, no acknowledged row lost."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from feedback_app.errors import Conflict
from feedback_app.store.database import Store, open_store
from feedback_app.store.tables import Person
from tests.feedback_app.builders import show

pytestmark = pytest.mark.slow

WRITERS = 8
EACH = 10
ROOT = Path(__file__).resolve().parents[3]


def judge_in_a_row(url: str, name: str, count: int) -> None:
    """Read-then-write transactions, one after the other, by one person."""
    store = open_store(url)
    person = store.people.add(name, "annotator", "")
    for number in range(count):
        ticket = show(store, person, f"{name} {number}")
        store.judgements.record(ticket.id, person.id, {"marks": {ticket.answer_ids[0]: "good"}})
    store.close()


def check_serials(store: Store, expected: int) -> None:
    judgements = list(store.judgements.export())
    assert len(judgements) == expected
    assert store.judgements.watermark() == expected
    rows = [store.judgements.get(judgement.id) for judgement in judgements]
    assert [row.serial for row in rows if row] == list(range(1, expected + 1))


def test_threads_that_read_then_write_meet_no_lock_error(store: Store, database_url: str) -> None:
    with ThreadPoolExecutor(WRITERS) as pool:
        done = [pool.submit(judge_in_a_row, database_url, f"person {number}", EACH) for number in range(WRITERS)]
        for each in done:
            each.result()
    check_serials(store, WRITERS * EACH)


def test_processes_that_read_then_write_meet_no_lock_error(store: Store, database_url: str) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # the imports are paid for once, not by each of the eight
    processes: list[BaseProcess] = [
        context.Process(target=judge_in_a_row, args=(database_url, f"person {number}", EACH))
        for number in range(WRITERS)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * WRITERS
    check_serials(store, WRITERS * EACH)


def test_many_at_once_leave_one_live_judgement(store: Store, person: Callable[..., Person]) -> None:
    ada = person()
    ticket = show(store, ada)

    def vote(rank: int) -> str | None:
        try:
            return store.judgements.record(ticket.id, ada.id, {"ranks": {"a": rank}}).id
        except Conflict:
            return None

    with ThreadPoolExecutor(WRITERS) as pool:
        ids = set(pool.map(vote, [1, 2, 1, 2, 1, 2, 1, 2])) - {None}
    live = store.judgements.live(ticket.id)
    assert live is not None
    assert ids == {live.id}
    assert store.judgements.watermark() == 1


def test_one_of_many_workers_claims_a_round(store: Store) -> None:
    store.rounds.add("dpo", None, 0, {})
    with ThreadPoolExecutor(WRITERS) as pool:
        claims = list(pool.map(lambda number: store.rounds.claim(f"worker {number}", 60), range(WRITERS)))
    assert len([claim for claim in claims if claim is not None]) == 1


def test_processes_that_start_together_migrate_once(database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: open_store(database_url), range(4)))
    stores[0].people.add("ada", "operator", "")
    assert [person.name for person in stores[3].people.listing()] == ["ada"]
    for each in stores:
        each.close()


def test_a_killed_writer_loses_no_acknowledged_row(store: Store, database_url: str) -> None:
    for turn in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-m", "tests.feedback_app.store.endless_writer", database_url, f"writer {turn}"],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert writer.stdout is not None
        acknowledged = [writer.stdout.readline().strip() for _ in range(5 + turn)]
        time.sleep(0.001 * turn)  # another moment of its work each time
        writer.send_signal(signal.SIGKILL)
        acknowledged += [line.strip() for line in writer.stdout if line.endswith("\n")]
        writer.wait()
        assert all(acknowledged)
        exported = {judgement.id for judgement in store.judgements.export()}
        assert set(acknowledged) <= exported
    reopened = open_store(database_url)
    reopened.people.add("still writable", "chatter", "")
    reopened.close()
