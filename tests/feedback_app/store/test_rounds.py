"""Rounds, leases, stages, attempts, progress, snapshots; the schedule; beats."""

from __future__ import annotations

import pytest

from feedback_app.errors import Conflict, NotFound
from feedback_app.store.database import Store
from feedback_app.store.tables import Round
from tests.fakes import Clock


def add(store: Store) -> int:
    row = store.rounds.add("dpo", None, 7, {"epochs": 3})
    assert row.id is not None
    return row.id


def claimed(store: Store, owner: str, lease_s: float = 30) -> Round | None:
    return store.rounds.claim(owner, lease_s)


def test_there_are_never_two_rounds_at_once(store: Store) -> None:
    first = add(store)
    with pytest.raises(Conflict, match=f"Round {first} is queued"):
        add(store)
    claimed(store, "worker")
    with pytest.raises(Conflict, match="is running"):
        add(store)
    store.rounds.update(first, status="held")
    second = add(store)
    assert [row.id for row in store.rounds.listing()] == [second, first]
    assert [row.id for row in store.rounds.held()] == [first]
    active = store.rounds.active()
    assert active is not None
    assert active.id == second


def test_a_round_is_claimed_by_one_worker_until_its_lease_runs_out(store: Store, clock: Clock) -> None:
    assert claimed(store, "one") is None
    id = add(store)
    taken = claimed(store, "one")
    assert taken is not None
    assert (taken.id, taken.status, taken.lease_owner, taken.started_at) == (id, "running", "one", clock.now)
    assert claimed(store, "two") is None
    clock.pass_s(20)
    assert store.rounds.renew(id, "one", 30)
    assert not store.rounds.renew(id, "two", 30)
    clock.pass_s(29)
    assert claimed(store, "two") is None
    clock.pass_s(2)
    again = claimed(store, "two")
    assert again is not None
    assert again.started_at == taken.started_at
    assert not store.rounds.renew(id, "one", 30)
    with pytest.raises(Conflict, match="another worker"):
        store.rounds.update(id, owner="one", status="passed")
    store.rounds.update(id, owner="two", status="passed", verdict="pass", reasons=["better"], rows={"train": 25})
    done = store.rounds.get(id)
    assert done is not None
    assert (done.finished_at, done.lease_owner, done.reasons, done.rows) == (clock.now, None, ["better"], {"train": 25})
    assert not store.rounds.renew(id, "two", 30)
    assert claimed(store, "two") is None


def test_a_queued_round_is_cancelled_at_once_and_a_running_one_by_its_worker(store: Store) -> None:
    queued = add(store)
    assert store.rounds.request_cancel(queued).status == "cancelled"
    with pytest.raises(Conflict, match="cancelled"):
        store.rounds.request_cancel(queued)
    running = add(store)
    claimed(store, "worker")
    asked = store.rounds.request_cancel(running)
    assert (asked.status, asked.cancel_requested) == ("running", True)
    with pytest.raises(NotFound):
        store.rounds.request_cancel(999)


def test_only_real_columns_are_set(store: Store) -> None:
    id = add(store)
    with pytest.raises(ValueError, match="verdikt"):
        store.rounds.update(id, verdikt="pass")
    with pytest.raises(ValueError, match="id"):
        store.rounds.update(id, id=5)


def test_a_stage_that_is_tried_again_keeps_its_first_start(store: Store, clock: Clock) -> None:
    round_id = add(store)
    stage = store.rounds.begin_stage(round_id, "train")
    assert stage.id is not None
    began = clock.now
    first = store.rounds.add_attempt(stage.id, "/attempts/1")
    clock.pass_s(5)
    assert store.rounds.begin_stage(round_id, "train").id == stage.id
    second = store.rounds.add_attempt(stage.id, "/attempts/2")
    assert second.id is not None
    store.rounds.update_attempt(second.id, pid=123, status="done")
    done = store.rounds.finish_stage(stage.id, "done", attempt=second.id)
    assert (done.started_at, done.finished_at, done.counted_attempt) == (began, clock.now, second.id)
    assert [(row.id, row.status) for row in store.rounds.attempts(stage.id)] == [
        (first.id, "abandoned"),
        (second.id, "done"),
    ]
    store.rounds.begin_stage(round_id, "evaluate")
    assert [row.name for row in store.rounds.stages(round_id)] == ["train", "evaluate"]


def test_progress_is_numbered_and_kept_once(store: Store) -> None:
    stage = store.rounds.begin_stage(add(store), "train")
    assert stage.id is not None
    old = store.rounds.add_attempt(stage.id, "/attempts/1")
    assert old.id is not None
    store.rounds.add_progress(old.id, 1, {"loss": 9.0})
    new = store.rounds.add_attempt(stage.id, "/attempts/2")
    assert new.id is not None
    for number in (1, 2, 2, 3):
        store.rounds.add_progress(new.id, number, {"loss": 1 / number})
    assert [row.number for row in store.rounds.progress(new.id)] == [1, 2, 3]
    assert [row.record for row in store.rounds.progress(stage_id=stage.id, after=1)] == [{"loss": 0.5}, {"loss": 1 / 3}]
    assert [row.record for row in store.rounds.progress(old.id)] == [{"loss": 9.0}]
    assert store.rounds.progress(stage_id=999) == []


def test_a_snapshot_keeps_its_manifest(store: Store) -> None:
    snapshot = store.rounds.add_snapshot("/snapshots/1", "abc", {"counts": {"like": 3}})
    assert store.rounds.snapshot(snapshot.id) == snapshot
    assert store.rounds.snapshot("none") is None


def test_the_schedule_is_off_until_somebody_sets_it(store: Store) -> None:
    assert not store.schedule.get().enabled
    store.schedule.set(enabled=True, every_judgements=40)
    store.schedule.set(every_hours=2.5)
    schedule = store.schedule.get()
    assert (schedule.enabled, schedule.every_judgements, schedule.every_hours) == (True, 40, 2.5)
    with pytest.raises(ValueError, match="every_day"):
        store.schedule.set(every_day=True)


def test_a_beat_replaces_the_one_before(store: Store, clock: Clock) -> None:
    store.heartbeats.beat("worker", {"round": None})
    clock.pass_s(3)
    store.heartbeats.beat("worker", {"round": 4})
    store.heartbeats.beat("app", {})
    assert [(beat.name, beat.at, beat.state) for beat in store.heartbeats.all()] == [
        ("app", clock.now, {}),
        ("worker", clock.now, {"round": 4}),
    ]
