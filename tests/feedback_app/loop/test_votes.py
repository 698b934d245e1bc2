"""The blind votes on a challenger: which count, when the test is asked, and what follows."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import strategies as st

from feedback_app.loop.votes import challenge, settle
from feedback_app.settings import Promote
from feedback_app.store.database import Store
from feedback_app.store.tables import Person, Round
from tests.feedback_app.loop.parts import held_round, made_by, serve_base, vote

pytestmark = pytest.mark.slow

NEEDED = 8
OUTCOMES = st.sampled_from(["win", "loss", "tie", "none"])


@pytest.fixture
def ann(sqlite_store: Store) -> Person:
    """A real annotator; `base` is served and challenged by policy-0001."""
    serve_base(sqlite_store)
    held_round(sqlite_store, needed=NEEDED)
    return sqlite_store.people.add("ann", "annotator", "")


def cast(store: Store, person: Person, outcomes: Sequence[str], challenger: str = "policy-0001") -> None:
    for outcome in outcomes:
        vote(store, person, challenger, outcome)


def apply(store: Store, promote: Promote = Promote.ON_PASS, *, staged: bool = True) -> Round | None:
    return settle(store, needed=NEEDED, promote=promote, staged=staged)


def test_a_challenged_round_says_how_many_votes_it_needs(sqlite_store: Store, ann: Person) -> None:
    (turn,) = sqlite_store.rounds.held()
    assert turn.reasons[0] == "It needs 8 more blind votes between policy-0001 and base."
    assert turn.reasons[1] == "It kept what it could do."
    cast(sqlite_store, ann, ["win", "tie", "bad", "none"])
    after = apply(sqlite_store)
    assert after is not None
    assert after.status == "held"
    assert after.reasons[0] == "It needs 5 more blind votes between policy-0001 and base."
    assert apply(sqlite_store) is None, "nothing new, so nothing is written"


def test_enough_wins_promote(sqlite_store: Store, ann: Person) -> None:
    cast(sqlite_store, ann, ["win"] * 7)
    assert apply(sqlite_store).status == "held"  # type: ignore[union-attr]
    cast(sqlite_store, ann, ["loss"])
    turn = apply(sqlite_store)
    assert turn is not None
    assert (turn.status, turn.verdict) == ("promoted", "pass")
    assert turn.evaluation["votes"] == {"wins": 7, "losses": 1, "ties": 0, "votes": 8}
    published = sqlite_store.versions.published()
    assert published is not None
    assert (published.version, published.previous, published.reason) == ("policy-0001", "base", "promoted")
    assert sqlite_store.versions.challenger() is None


def test_enough_losses_drop_it(sqlite_store: Store, ann: Person) -> None:
    cast(sqlite_store, ann, ["loss"] * NEEDED)
    turn = apply(sqlite_store)
    assert turn is not None
    assert turn.status == "rejected"
    assert sqlite_store.versions.get("policy-0001").state == "dropped"  # type: ignore[union-attr]
    assert sqlite_store.versions.published().version == "base"  # type: ignore[union-attr]


def test_undecided_votes_hold_it_for_good(sqlite_store: Store, ann: Person) -> None:
    cast(sqlite_store, ann, ["win", "loss"] * (NEEDED // 2))
    turn = apply(sqlite_store)
    assert turn is not None
    assert turn.status == "held"
    assert "The votes do not decide" in turn.reasons[0]
    assert sqlite_store.versions.challenger() is None
    cast(sqlite_store, ann, ["win"] * 20)  # asking the test again and again would sooner or later promote chance
    assert apply(sqlite_store) is None
    assert sqlite_store.versions.published().version == "base"  # type: ignore[union-attr]


def test_manual_waits_for_an_operator(sqlite_store: Store, ann: Person) -> None:
    cast(sqlite_store, ann, ["win"] * NEEDED)
    turn = apply(sqlite_store, Promote.MANUAL)
    assert turn is not None
    assert turn.status == "passed"
    assert "version promote policy-0001" in turn.reasons[-1]
    assert sqlite_store.versions.published().version == "base"  # type: ignore[union-attr]


def test_on_evidence_only_people_count(sqlite_store: Store, ann: Person) -> None:
    robot = sqlite_store.people.add("scripted-warm-1", "annotator", "", scripted=True)
    cast(sqlite_store, robot, ["win"] * NEEDED)
    assert apply(sqlite_store, Promote.ON_EVIDENCE) is None
    cast(sqlite_store, ann, ["win"] * NEEDED)
    assert apply(sqlite_store, Promote.ON_EVIDENCE).status == "promoted"  # type: ignore[union-attr]


def test_no_promotion_before_every_replica_answers_for_it(sqlite_store: Store, ann: Person) -> None:
    cast(sqlite_store, ann, ["win"] * NEEDED)
    assert apply(sqlite_store, staged=False) is None
    assert sqlite_store.versions.published().version == "base"  # type: ignore[union-attr]
    assert apply(sqlite_store).status == "promoted"  # type: ignore[union-attr]


def test_a_new_challenger_replaces_the_one_that_waits(sqlite_store: Store, ann: Person) -> None:
    (first,) = sqlite_store.rounds.held()
    held_round(sqlite_store, "policy-0002", needed=NEEDED)
    replaced = sqlite_store.rounds.get(first.id)  # type: ignore[arg-type]
    assert replaced is not None
    assert replaced.status == "rejected"
    assert "replaced by policy-0002" in replaced.reasons[-1]
    assert sqlite_store.versions.challenger().name == "policy-0002"  # type: ignore[union-attr]
    assert sqlite_store.versions.get("policy-0001").state == "dropped"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("status", "state", "policy"),
    [("promoted", "ready", "policy-0001"), ("rejected", "dropped", "base"), ("passed", "ready", "base")],
)
def test_a_conclusion_that_a_crash_cut_short_is_finished(
    sqlite_store: Store, ann: Person, status: str, state: str, policy: str
) -> None:
    (turn,) = sqlite_store.rounds.held()
    assert turn.id is not None
    sqlite_store.rounds.update(turn.id, status=status)  # the round's row was written, the version's was not
    apply(sqlite_store)
    assert sqlite_store.versions.get("policy-0001").state == state  # type: ignore[union-attr]
    assert sqlite_store.versions.published().version == policy  # type: ignore[union-attr]


def test_a_challenge_that_a_crash_cut_short_is_left_to_its_round(sqlite_store: Store) -> None:
    serve_base(sqlite_store)
    turn = sqlite_store.rounds.add("dpo", None, 0, {})
    sqlite_store.rounds.claim("w", 60.0)
    turn = sqlite_store.rounds.update(turn.id, incumbent="base", version="policy-0001")  # type: ignore[arg-type]
    version = made_by(sqlite_store, "policy-0001", turn, state="challenger")
    assert apply(sqlite_store) is None
    assert challenge(sqlite_store, turn, version, [], NEEDED).status == "held"
