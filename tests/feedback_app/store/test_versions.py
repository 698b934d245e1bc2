"""Versions never change; `policy` is the newest publication."""

from __future__ import annotations

import pytest

from feedback_app.errors import Conflict, NotFound
from feedback_app.store.database import Store
from tests.feedback_app.builders import add_version


def test_a_version_is_registered_once(store: Store) -> None:
    base = add_version(store)
    with pytest.raises(Conflict, match="base"):
        add_version(store)
    assert store.versions.get("base") == base
    assert store.versions.get("other") is None
    assert store.versions.listing() == [base]


def test_names_count_up_and_are_never_used_again(store: Store) -> None:
    assert store.versions.next_name() == "policy-0001"
    add_version(store, "policy-0001")
    add_version(store, "policy-0009")
    add_version(store, "policy-old")
    assert store.versions.next_name() == "policy-0010"


def test_publishing_flips_the_alias_and_keeps_the_history(store: Store) -> None:
    assert store.versions.published() is None
    add_version(store)
    add_version(store, "policy-0001", form="adapter", state="challenger")
    store.versions.publish("base", "first")
    flipped = store.versions.publish("policy-0001", "operator", note="I like it")
    assert flipped.previous == "base"
    assert store.versions.published() == flipped
    promoted = store.versions.get("policy-0001")
    assert promoted is not None
    assert promoted.state == "ready"
    assert store.versions.publish("policy-0001", "operator") == flipped
    store.versions.publish("base", "rollback")
    assert [(row.version, row.reason) for row in store.versions.history()] == [
        ("base", "rollback"),
        ("policy-0001", "operator"),
        ("base", "first"),
    ]


def test_what_cannot_be_loaded_cannot_be_published(store: Store) -> None:
    add_version(store, "policy-0001", form="adapter", state="unloadable")
    with pytest.raises(Conflict, match="another base model"):
        store.versions.publish("policy-0001", "operator")
    with pytest.raises(NotFound, match="policy-0002"):
        store.versions.publish("policy-0002", "operator")
    assert store.versions.published() is None


def test_there_is_one_challenger(store: Store) -> None:
    assert store.versions.challenger() is None
    for name in ("policy-0001", "policy-0002"):
        add_version(store, name, form="adapter")
        store.versions.set_state(name, "challenger")
    challenger = store.versions.challenger()
    assert challenger is not None
    assert challenger.name == "policy-0002"
    assert {version.name: version.state for version in store.versions.listing()} == {
        "policy-0001": "ready",
        "policy-0002": "challenger",
    }
