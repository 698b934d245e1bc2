"""When a round starts by itself."""

from __future__ import annotations

from typing import Any

import pytest

from feedback_app.loop.schedule import HOUR_S, due, start_due
from feedback_app.store.database import Store
from feedback_app.store.tables import Schedule
from tests.fakes import Clock
from tests.feedback_app.loop.parts import compared, held_round, serve_base

NOW = 1_000_000.0


def asked(schedule: Schedule, **facts: Any) -> bool:
    return due(schedule, **({"now": NOW, "new_judgements": 10, "active": False, "challenged": False} | facts))


@pytest.mark.parametrize(("new", "expected"), [(9, False), (10, True), (11, True)])
def test_after_so_many_judgements(new: int, expected: bool) -> None:
    assert asked(Schedule(enabled=True, every_judgements=10), new_judgements=new) is expected


@pytest.mark.parametrize(("ago_s", "expected"), [(HOUR_S * 2 - 1, False), (HOUR_S * 2, True)])
def test_every_so_many_hours(ago_s: float, expected: bool) -> None:
    assert asked(Schedule(enabled=True, every_hours=2.0, last_started_at=NOW - ago_s)) is expected


def test_the_first_round_by_hours_starts_as_soon_as_there_is_something() -> None:
    assert asked(Schedule(enabled=True, every_hours=2.0))
    assert not asked(Schedule(enabled=True, every_hours=2.0), new_judgements=0)


@pytest.mark.parametrize("why", [{"active": True}, {"challenged": True}, {"new_judgements": 0}])
def test_never_beside_a_round_nor_over_a_challenger_nor_on_nothing_new(why: dict[str, Any]) -> None:
    assert not asked(Schedule(enabled=True, every_judgements=1, every_hours=1.0), **why)


def test_switched_off_or_empty_it_starts_nothing() -> None:
    assert not asked(Schedule(enabled=False, every_judgements=1))
    assert not asked(Schedule(enabled=True))


def test_it_counts_from_what_the_last_round_saw(sqlite_store: Store, clock: Clock) -> None:
    serve_base(sqlite_store)
    ann = sqlite_store.people.add("ann", "annotator", "")
    sqlite_store.schedule.set(enabled=True, every_judgements=3)
    for number in range(3):
        assert start_due(sqlite_store) is None
        compared(sqlite_store, ann, number)
    turn = start_due(sqlite_store)
    assert turn is not None
    assert start_due(sqlite_store) is None, "never two rounds at once"
    sqlite_store.rounds.update(turn.id, status="failed", watermark=sqlite_store.judgements.watermark())  # type: ignore[arg-type]
    assert start_due(sqlite_store) is None, "a round that failed is not started again on the same judgements"
    for number in range(3, 6):
        compared(sqlite_store, ann, number)
    assert start_due(sqlite_store) is not None
    assert sqlite_store.schedule.get().last_started_at == clock.now


def test_it_waits_while_a_challenger_collects_votes(sqlite_store: Store) -> None:
    serve_base(sqlite_store)
    held_round(sqlite_store)
    ann = sqlite_store.people.add("ann", "annotator", "")
    sqlite_store.schedule.set(enabled=True, every_judgements=1)
    compared(sqlite_store, ann, 1)
    assert start_due(sqlite_store) is None
    sqlite_store.versions.set_state("policy-0001", "ready")
    assert start_due(sqlite_store) is not None


def test_a_method_that_is_gone_starts_nothing_and_breaks_nothing(sqlite_store: Store) -> None:
    ann = sqlite_store.people.add("ann", "annotator", "")
    serve_base(sqlite_store)
    compared(sqlite_store, ann, 1)
    sqlite_store.schedule.set(enabled=True, every_judgements=1, method="alchemy")
    assert start_due(sqlite_store) is None
    assert sqlite_store.rounds.listing() == []
