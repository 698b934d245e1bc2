"""People, sessions, keys, and who may be the last operator."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from feedback_app.errors import Conflict, NotFound
from feedback_app.store.database import Store
from feedback_app.store.tables import Person
from tests.fakes import Clock


def test_a_name_is_taken_once(store: Store, person: Callable[..., Person]) -> None:
    ada = person("ada")
    with pytest.raises(Conflict, match="ada"):
        store.people.add("ada", "chatter", "")
    assert store.people.by_name("ada") == ada
    assert store.people.by_id(ada.id) == ada
    assert store.people.by_name("nobody") is None
    assert [who.name for who in store.people.listing()] == ["ada"]


def test_a_session_ends_by_time_by_sign_out_and_by_disabling(
    store: Store, person: Callable[..., Person], clock: Clock
) -> None:
    ada = person()
    for token in ("one", "two", "three"):
        store.people.add_sign_in(token, ada.id, clock.now + 100)
    assert store.people.person_by_sign_in("one") == ada
    store.people.revoke_sign_in("one")
    assert store.people.person_by_sign_in("one") is None
    assert store.people.person_by_sign_in("two") == ada
    store.people.revoke_all(ada.id, keep="three")
    assert store.people.person_by_sign_in("two") is None
    assert store.people.person_by_sign_in("three") == ada
    clock.pass_s(100)
    assert store.people.person_by_sign_in("three") is None


def test_disabling_ends_sessions_and_stops_keys_and_enabling_does_not_bring_sessions_back(
    store: Store, person: Callable[..., Person], clock: Clock
) -> None:
    ada = person()
    store.people.add_sign_in("token", ada.id, clock.now + 100)
    store.people.add_key("key", ada.id)
    store.people.set_disabled(ada.id, True)
    assert store.people.person_by_sign_in("token") is None
    assert store.people.person_by_key("key") is None
    store.people.set_disabled(ada.id, False)
    assert store.people.person_by_sign_in("token") is None
    assert store.people.person_by_key("key") is not None
    store.people.revoke_keys(ada.id)
    assert store.people.person_by_key("key") is None


def test_the_last_operator_cannot_be_demoted_or_disabled(store: Store, person: Callable[..., Person]) -> None:
    ada, ben = person("ada", "operator"), person("ben", "operator")
    store.people.set_disabled(ben.id, True)
    with pytest.raises(Conflict, match="last operator"):
        store.people.set_role(ada.id, "annotator")
    with pytest.raises(Conflict, match="last operator"):
        store.people.set_disabled(ada.id, True)
    assert store.people.by_id(ada.id) == ada
    store.people.set_disabled(ben.id, False)
    assert store.people.set_role(ada.id, "chatter").role == "chatter"
    with pytest.raises(Conflict):
        store.people.set_role(ben.id, "chatter")


def test_an_unknown_person_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound):
        store.people.set_role("nobody", "operator")


def test_consent_keeps_its_first_time(store: Store, person: Callable[..., Person], clock: Clock) -> None:
    ada = person()
    first = store.people.set_consented(ada.id).consented_at
    clock.pass_s(10)
    assert store.people.set_consented(ada.id).consented_at == first


def test_setting_aside_keeps_its_first_time_and_can_be_undone(
    store: Store, person: Callable[..., Person], clock: Clock
) -> None:
    ada, ben = person("ada"), person("ben")
    first = store.people.set_aside(ada.id, True).set_aside_at
    clock.pass_s(10)
    assert store.people.set_aside(ada.id, True).set_aside_at == first == clock.now - 10
    assert [who.set_aside_at for who in store.people.listing()] == [first, None]
    assert store.people.set_aside(ada.id, False).set_aside_at is None
    assert store.people.by_id(ben.id) == ben
    with pytest.raises(NotFound):
        store.people.set_aside("nobody", True)


def test_wrong_passwords_are_found_by_name_and_by_address(store: Store, clock: Clock) -> None:
    store.people.add_wrong_password("ada", "10.0.0.1")
    clock.pass_s(5)
    store.people.add_wrong_password("ben", "10.0.0.1")
    store.people.add_wrong_password("ada", "10.0.0.2")
    start = clock.now - 5
    assert store.people.wrong_passwords("ada", "10.0.0.1", 0) == [start, clock.now, clock.now]
    assert store.people.wrong_passwords("ada", None, 0) == [start, clock.now]
    assert store.people.wrong_passwords(None, "10.0.0.1", clock.now) == [clock.now]
    store.people.forget_wrong_passwords("ada", "10.0.0.1")
    assert store.people.wrong_passwords("ada", None, 0) == [clock.now]


def test_a_try_is_booked_only_when_it_need_not_wait(store: Store) -> None:
    assert store.people.try_password("ada", "x", 0, lambda by_name, by_address: 0.0) == 0.0
    assert store.people.try_password("ada", "x", 0, lambda by_name, by_address: float(len(by_name))) == 1.0
    assert len(store.people.wrong_passwords("ada", "x", 0)) == 1
