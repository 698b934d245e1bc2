"""An operator's promotion and rollback."""

from __future__ import annotations

import pytest

from feedback_app.errors import Conflict, NotFound, Unavailable, UsageError
from feedback_app.loop.publish import previous_version, promote, rollback
from feedback_app.store.database import Store
from feedback_app.store.tables import Version
from tests.feedback_app.builders import add_version
from tests.feedback_app.loop.parts import held_round, serve_base


def at_once(store: Store, version: Version) -> None:
    """Staging that is done already."""


def meaning(store: Store) -> str:
    published = store.versions.published()
    assert published is not None
    return published.version


@pytest.fixture
def operator(sqlite_store: Store) -> str:
    """An operator's id; `base` is served."""
    serve_base(sqlite_store)
    return sqlite_store.people.add("op", "operator", "").id


def test_a_held_version_needs_a_note_and_keeps_it(sqlite_store: Store, operator: str) -> None:
    turn = held_round(sqlite_store)
    with pytest.raises(UsageError, match="--note"):
        promote(sqlite_store, "policy-0001", operator, "  ", staged=at_once)
    assert meaning(sqlite_store) == "base"
    publication = promote(sqlite_store, "policy-0001", operator, "Read forty answers; clearly better.", staged=at_once)
    assert (publication.person_id, publication.note) == (operator, "Read forty answers; clearly better.")
    after = sqlite_store.rounds.get(turn.id)  # type: ignore[arg-type]
    assert after is not None
    assert after.status == "promoted"
    assert "clearly better" in after.reasons[-1]
    assert sqlite_store.versions.challenger() is None


def test_a_version_that_cannot_be_loaded_is_not_published(sqlite_store: Store, operator: str) -> None:
    turn = held_round(sqlite_store)

    def refused(store: Store, version: Version) -> None:
        raise Unavailable("vLLM does not load it")

    with pytest.raises(Unavailable):
        promote(sqlite_store, "policy-0001", operator, "why not", staged=refused)
    assert meaning(sqlite_store) == "base"
    assert sqlite_store.rounds.get(turn.id).status == "held"  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize(
    ("state", "error"), [("dropped", "was rejected"), ("unloadable", "another base model")], ids=str
)
def test_some_versions_cannot_be_promoted(sqlite_store: Store, operator: str, state: str, error: str) -> None:
    add_version(sqlite_store, "policy-0009", form="adapter", state=state)
    with pytest.raises(Conflict, match=error):
        promote(sqlite_store, "policy-0009", operator, "note", staged=at_once)


def test_promoting_what_is_served_or_unknown_is_refused(sqlite_store: Store, operator: str) -> None:
    with pytest.raises(Conflict, match="already"):
        promote(sqlite_store, "base", operator, staged=at_once)
    with pytest.raises(NotFound, match="policy-0404"):
        promote(sqlite_store, "policy-0404", operator, staged=at_once)


def test_another_promotion_ends_the_challenge(sqlite_store: Store, operator: str) -> None:
    add_version(sqlite_store, "policy-0007", form="adapter")
    turn = held_round(sqlite_store)
    promote(sqlite_store, "policy-0007", operator, staged=at_once)
    after = sqlite_store.rounds.get(turn.id)  # type: ignore[arg-type]
    assert after is not None
    assert after.status == "rejected"
    assert "policy-0007" in after.reasons[-1]
    assert sqlite_store.versions.challenger() is None


def test_rollback_goes_one_further_back_each_time(sqlite_store: Store, operator: str) -> None:
    for name in ("policy-0001", "policy-0002"):
        add_version(sqlite_store, name, form="adapter")
        promote(sqlite_store, name, operator, staged=at_once)
    assert rollback(sqlite_store, operator, staged=at_once).version == "policy-0001"
    assert rollback(sqlite_store, operator, staged=at_once).version == "base"
    with pytest.raises(UsageError, match="no earlier version"):
        rollback(sqlite_store, operator, staged=at_once)
    assert [p.reason for p in sqlite_store.versions.history()][:2] == ["rollback", "rollback"]


def test_after_a_rollback_a_promotion_can_be_rolled_back_again(sqlite_store: Store, operator: str) -> None:
    for name in ("policy-0001", "policy-0002"):
        add_version(sqlite_store, name, form="adapter")
    promote(sqlite_store, "policy-0001", operator, staged=at_once)
    rollback(sqlite_store, operator, staged=at_once)
    promote(sqlite_store, "policy-0002", operator, staged=at_once)
    assert rollback(sqlite_store, operator, staged=at_once).version == "base"


def test_a_rollback_passes_over_versions_of_another_model(sqlite_store: Store, operator: str) -> None:
    for name in ("policy-0001", "policy-0002"):
        add_version(sqlite_store, name, form="adapter")
        promote(sqlite_store, name, operator, staged=at_once)
    sqlite_store.versions.set_state("policy-0001", "unloadable")
    target = previous_version(sqlite_store)
    assert target is not None
    assert target.name == "base"


def test_a_rollback_ends_the_challenge(sqlite_store: Store, operator: str) -> None:
    add_version(sqlite_store, "policy-0007", form="adapter")
    promote(sqlite_store, "policy-0007", operator, staged=at_once)
    turn = held_round(sqlite_store)
    rollback(sqlite_store, operator, staged=at_once)
    assert sqlite_store.rounds.get(turn.id).status == "rejected"  # type: ignore[union-attr, arg-type]
