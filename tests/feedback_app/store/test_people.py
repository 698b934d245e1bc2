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
    for token in ("one", "two"):
        store.people.add_sign_in(token, ada.id, clock.now + 100)
    assert store.people.person_by_sign_in("one") == ada
    store.people.revoke_sign_in("one")
    assert store.people.person_by_sign_in("one") is None
    assert store.people.person_by_sign_in("two") == ada
    store.people.revoke_all(ada.id)
    assert store.people.person_by_sign_in("two") is None
    store.people.add_sign_in("three", ada.id, clock.now + 100)
    assert store.people.person_by_sign_in("three") == ada
    clock.pass_s(100)
    assert store.people.person_by_sign_in("three") is None


def test_disabling_ends_sessions_keys_and_devices_and_enabling_brings_none_back(
    store: Store, person: Callable[..., Person], clock: Clock
) -> None:
    ada = person()
    store.people.add_sign_in("token", ada.id, clock.now + 100, device="browser")
    store.people.replace_key("key", ada.id)
    assert store.guesses.knows("browser", "ada", 0)
    store.people.set_disabled(ada.id, True)
    for disabled in (True, False):
        store.people.set_disabled(ada.id, disabled)
        assert store.people.person_by_sign_in("token") is None
        assert store.people.person_by_key("key") is None
        assert not store.guesses.knows("browser", "ada", 0)


def test_a_session_or_key_that_was_asked_for_before_disabling_does_not_begin_after_it(
    store: Store, person: Callable[..., Person], clock: Clock
) -> None:
    ada = person()
    store.people.set_disabled(ada.id, True)
    with pytest.raises(Conflict, match="disabled"):
        store.people.add_sign_in("token", ada.id, clock.now + 100)
    with pytest.raises(Conflict, match="disabled"):
        store.people.replace_key("key", ada.id)
    store.people.set_disabled(ada.id, False)
    assert store.people.person_by_sign_in("token") is None
    assert store.people.person_by_key("key") is None


def test_nothing_begins_with_a_password_that_was_replaced_meanwhile(
    store: Store, person: Callable[..., Person], clock: Clock
) -> None:
    ada = person()
    store.people.replace_password(ada.id, "first")
    store.people.replace_password(ada.id, "second", seen="first")
    with pytest.raises(Conflict, match="at the same moment"):
        store.people.add_sign_in("token", ada.id, clock.now + 100, seen="first")
    with pytest.raises(Conflict, match="at the same moment"):
        store.people.replace_password(ada.id, "third", seen="first")
    store.people.rehash_password(ada.id, "first at another cost", "first")
    kept = store.people.by_id(ada.id)
    assert kept is not None
    assert kept.password_hash == "second"


def test_another_password_ends_sessions_and_devices_and_keys_only_when_asked(
    store: Store, person: Callable[..., Person], clock: Clock
) -> None:
    ada = person()
    for name in ("here", "there"):
        store.people.add_sign_in(name, ada.id, clock.now + 100, device=f"browser {name}")
    store.people.replace_key("key", ada.id)
    store.people.replace_password(ada.id, "another", keep_device="browser here")
    assert [store.people.person_by_sign_in(name) for name in ("here", "there")] == [None, None]
    assert [store.guesses.knows(f"browser {name}", "ada", 0) for name in ("here", "there")] == [True, False]
    assert store.people.person_by_key("key") is not None
    store.people.replace_password(ada.id, "a third", revoke_keys=True)
    assert not store.guesses.knows("browser here", "ada", 0)
    assert store.people.person_by_key("key") is None
    assert store.people.revoke_keys(ada.id) == 0


def test_a_new_key_replaces_the_one_before(store: Store, person: Callable[..., Person]) -> None:
    ada = person()
    for key in ("one", "two"):
        store.people.replace_key(key, ada.id)
    assert store.people.person_by_key("one") is None
    assert store.people.person_by_key("two") == ada
    assert store.people.revoke_keys(ada.id) == 1
    assert store.people.person_by_key("two") is None


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
