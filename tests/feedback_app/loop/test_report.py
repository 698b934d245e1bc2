"""A round as JSON: where its time went."""

from __future__ import annotations

from feedback_app.loop.report import round_report
from feedback_app.store.database import Store
from tests.fakes import Clock


def test_training_and_sampling_are_told_apart_from_the_rest(sqlite_store: Store, clock: Clock) -> None:
    turn = sqlite_store.rounds.add("dpo", None, 4, {"beta": 0.2})
    assert turn.id is not None
    for name, seconds in (("snapshot", 1.0), ("dpo", 20.0), ("evaluate", 30.0)):
        stage = sqlite_store.rounds.begin_stage(turn.id, name)
        clock.pass_s(seconds)
        sqlite_store.rounds.finish_stage(stage.id or 0, "done")
    unknown = round_report(sqlite_store, turn)
    assert unknown["seconds"] == {"training": 20.0, "sampling": 0.0, "waiting": 0.0, "rest": 31.0, "total": 51.0}
    measured = {
        "training": {"seconds": 18.0, "seconds_training": 14.0, "seconds_waiting": 3.0},
        "seconds": {"capability": 20.0, "sampling": 5.0, "kl": 2.0, "facts": 0.1},
    }
    turn = sqlite_store.rounds.update(turn.id, evaluation=measured)
    known = round_report(sqlite_store, turn)
    assert known["seconds"] == {"training": 14.0, "sampling": 25.0, "waiting": 3.0, "rest": 9.0, "total": 51.0}
    assert [(stage["name"], stage["seconds"]) for stage in known["stages"]] == [
        ("snapshot", 1.0),
        ("dpo", 20.0),
        ("evaluate", 30.0),
    ]


def test_a_round_that_has_not_begun_can_be_shown(sqlite_store: Store) -> None:
    turn = sqlite_store.rounds.add("dpo", None, 4, {"beta": 0.2})
    report = round_report(sqlite_store, turn)
    assert {"round", "method", "status", "verdict", "reasons", "version", "incumbent", "stages", "rows"} <= set(report)
    assert (report["start_from"], report["figures"]) == ("base", None)
    assert (report["status"], report["stages"], report["seed"], report["settings"]) == ("queued", [], 4, {"beta": 0.2})


def test_a_stage_that_runs_grows(sqlite_store: Store, clock: Clock) -> None:
    turn = sqlite_store.rounds.add("dpo", None, 0, {})
    sqlite_store.rounds.begin_stage(turn.id or 0, "dpo")
    clock.pass_s(3.0)
    assert round_report(sqlite_store, turn)["stages"] == [{"name": "dpo", "status": "running", "seconds": 3.0}]


def test_a_stage_that_waits_for_people_says_so_until_it_goes_on(sqlite_store: Store) -> None:
    turn = sqlite_store.rounds.add("ppo", None, 0, {})
    stage = sqlite_store.rounds.begin_stage(turn.id or 0, "ppo")
    assert round_report(sqlite_store, turn)["waiting"] == ""
    attempt = sqlite_store.rounds.add_attempt(stage.id or 0, "/attempt")
    waits = {"step": 12, "steps": 20, "waiting": "step 12: 3 of 4 blind judgements"}
    sqlite_store.rounds.add_progress(attempt.id or 0, 1, waits)
    assert round_report(sqlite_store, turn)["waiting"] == "step 12: 3 of 4 blind judgements"
    sqlite_store.rounds.add_progress(attempt.id or 0, 2, {"step": 12, "steps": 20})
    assert round_report(sqlite_store, turn)["waiting"] == ""


def test_what_a_stage_died_of_is_said(sqlite_store: Store) -> None:
    turn = sqlite_store.rounds.add("dpo", None, 0, {})
    stage = sqlite_store.rounds.begin_stage(turn.id or 0, "dpo")
    sqlite_store.rounds.finish_stage(stage.id or 0, "failed", "The loss is nan.")
    assert round_report(sqlite_store, turn)["stages"][0]["error"] == "The loss is nan."
