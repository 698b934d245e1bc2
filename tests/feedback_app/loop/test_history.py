"""The numbers over rounds: what a version gained by votes and what it cost, as kept, with nothing made up."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from feedback_app.loop.history import figures, over_rounds
from feedback_app.store.database import Store
from feedback_app.store.tables import Round
from tests.browser.worker_play import EVALUATION
from tests.feedback_app.loop.parts import held_round, serve_base, vote

REWARDED = {
    "reward": {"first": {"accuracy": 0.5}, "last": {"accuracy": 0.8}},
    "ppo": {"first": {"reward": 0.1}, "last": {"reward": 1.6}},
}


def evaluated(store: Store, **more: Any) -> Round:
    """A round that ended with a version and this evaluation."""
    turn = store.rounds.add("dpo", None, 0, {})
    assert turn.id is not None
    name = f"policy-{turn.id:04d}"
    evaluation = {**EVALUATION, **more}
    return store.rounds.update(turn.id, status="rejected", version=name, incumbent="base", evaluation=evaluation)


def test_what_was_measured_is_said_and_what_was_not_is_none(sqlite_store: Store) -> None:
    turn = evaluated(
        sqlite_store,
        kl_base=9.0,
        started_from={"start": "base", "version": "policy-0000"},
        votes={"wins": 30, "losses": 10, "ties": 20, "votes": 60},
        chain=REWARDED,
    )
    known = figures(turn)
    assert known is not None
    assert known["capability"]["lost_to_base"] == {"points": 1.7, "upper": 3.4}
    assert known["kl"] == {"to_incumbent": 7.4, "to_base": 9.0}
    assert known["distance"] == pytest.approx(3.0), "over the distance from what training started from"
    assert known["votes"]["win_rate"] == pytest.approx(40 / 60)
    assert known["votes"]["interval"][0] < 40 / 60 < known["votes"]["interval"][1]
    assert known["proxy"] == {"before": 0.1, "after": 1.6, "gain": 1.5}
    json.dumps(known, allow_nan=False)
    older = figures(evaluated(sqlite_store, kl_base=None))  # of an evaluation from before these were kept
    assert older is not None
    assert (older["votes"], older["proxy"], older["kl"]["to_base"]) == (None, None, None)
    assert older["distance"] == pytest.approx(math.sqrt(7.4))


def test_a_kl_a_little_below_zero_is_no_distance(sqlite_store: Store) -> None:
    known = figures(evaluated(sqlite_store, kl=-0.01))
    assert known is not None
    assert known["distance"] == 0.0


def test_rounds_without_an_evaluated_version_are_left_out_and_the_oldest_comes_first(sqlite_store: Store) -> None:
    first = evaluated(sqlite_store)
    failed = sqlite_store.rounds.add("dpo", None, 0, {})
    sqlite_store.rounds.update(failed.id or 0, status="failed")
    second, third = evaluated(sqlite_store), evaluated(sqlite_store)
    known = over_rounds(sqlite_store, needed=60, scripted_count=True)
    assert [each["round"] for each in known] == [first.id, second.id, third.id]
    newest = over_rounds(sqlite_store, needed=60, scripted_count=True, last=2)
    assert [each["round"] for each in newest] == [second.id, third.id]


def test_votes_are_shown_while_they_come_in(sqlite_store: Store) -> None:
    serve_base(sqlite_store)
    turn = held_round(sqlite_store)
    sqlite_store.rounds.update(turn.id or 0, evaluation=EVALUATION)
    person = sqlite_store.people.add("warm", "annotator", "", scripted=True)
    assert over_rounds(sqlite_store, needed=60, scripted_count=True)[0]["votes"] is None
    for outcome in ("win", "win", "tie", "none"):
        vote(sqlite_store, person, "policy-0001", outcome)
    votes = over_rounds(sqlite_store, needed=60, scripted_count=True)[0]["votes"]
    assert (votes["n"], votes["wins"], votes["ties"]) == (3, 2, 1)
    assert over_rounds(sqlite_store, needed=60, scripted_count=False)[0]["votes"] is None
