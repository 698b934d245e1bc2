"""Passwords, sessions, keys and roles."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from argon2 import PasswordHasher, Type, extract_parameters
from sqlalchemy import text

from feedback_app.collect import people
from feedback_app.collect.consent import LINE, consent, has_consented
from feedback_app.collect.guessing import DEVICE_S, FREE
from feedback_app.domain.people import Role
from feedback_app.errors import Conflict, NotAllowed, NotFound, NotSignedIn, SlowDown, UsageError
from feedback_app.store.database import Store
from tests.fakes import Clock

PASSWORD = "correct horse battery"
HERE = "127.0.0.1"

pytestmark = pytest.mark.usefixtures("cheap_passwords")


@pytest.fixture
def operator(sqlite_store: Store) -> people.NewPerson:
    return people.add_person(sqlite_store, "olga", "operator", password=PASSWORD)


def test_a_password_is_kept_as_argon2_and_secrets_as_hashes(sqlite_store: Store, operator: people.NewPerson) -> None:
    signed_in = people.sign_in(sqlite_store, "olga", PASSWORD, HERE)
    assert operator.person.password_hash.startswith("$argon2id$")
    kept = []
    with sqlite_store.database.read() as session:
        for table in ("person", "sign_in", "api_key"):
            kept += [str(tuple(row)) for row in session.execute(text(f"SELECT * FROM {table}"))]
    assert len(kept) == 3
    for secret in (PASSWORD, signed_in.token, operator.api_key):
        assert not any(secret in row for row in kept)


def test_the_cost_of_a_hash_is_what_is_recommended_today() -> None:
    """OWASP's Password Storage Cheat Sheet: Argon2id, at least 19 MiB and two passes."""
    hashed = people.Passwords().hash(PASSWORD)
    cost = extract_parameters(hashed)
    assert (cost.type, cost.memory_cost >= 19 * 1024, cost.time_cost >= 2) == (Type.ID, True, True)
    assert people.Passwords().verify(hashed, PASSWORD)
    assert not people.Passwords().verify(hashed, PASSWORD + " ")


def test_a_hash_of_an_earlier_cost_is_replaced_at_the_next_sign_in(
    sqlite_store: Store, operator: people.NewPerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "PASSWORDS", people.Passwords(PasswordHasher(2, 16, 1)))
    people.sign_in(sqlite_store, "olga", PASSWORD, HERE)
    kept = sqlite_store.people.by_name("olga")
    assert kept is not None
    assert extract_parameters(kept.password_hash).time_cost == 2
    people.sign_in(sqlite_store, "olga", PASSWORD, HERE)


def test_a_session_belongs_to_who_signed_in_until_they_sign_out(
    sqlite_store: Store, operator: people.NewPerson, clock: Clock
) -> None:
    first = people.sign_in(sqlite_store, " olga ", PASSWORD, HERE)
    second = people.sign_in(sqlite_store, "olga", PASSWORD, HERE, ttl_s=10)
    assert people.person_of_token(sqlite_store, first.token) == operator.person
    clock.pass_s(10)
    assert people.person_of_token(sqlite_store, second.token) is None
    people.sign_out(sqlite_store, first.token)
    assert people.person_of_token(sqlite_store, first.token) is None
    assert people.person_of_token(sqlite_store, None) is None
    assert people.person_of_token(sqlite_store, "made up") is None


def test_a_wrong_name_and_a_wrong_password_are_told_the_same(sqlite_store: Store, operator: people.NewPerson) -> None:
    with pytest.raises(NotSignedIn) as wrong_password:
        people.sign_in(sqlite_store, "olga", "wrong", HERE)
    with pytest.raises(NotSignedIn) as wrong_name:
        people.sign_in(sqlite_store, "oscar", PASSWORD, HERE)
    assert str(wrong_password.value) == str(wrong_name.value)


def wrong(store: Store, name: str, address: str, times: int = FREE, **more: str) -> None:
    for number in range(times):
        with pytest.raises(NotSignedIn):
            people.sign_in(store, name, f"guess {number}", address, **more)  # type: ignore[arg-type]


def test_wrong_passwords_make_the_guesser_wait_a_little_longer_each_time(
    sqlite_store: Store, operator: people.NewPerson, clock: Clock
) -> None:
    wrong(sqlite_store, "olga", HERE)
    for pause in (1, 2, 4):
        with pytest.raises(SlowDown) as slowed:
            people.sign_in(sqlite_store, "olga", PASSWORD, HERE)
        assert slowed.value.retry_after_s == pause
        clock.pass_s(pause)
        wrong(sqlite_store, "olga", HERE, 1)
    clock.pass_s(8)
    assert people.sign_in(sqlite_store, "olga", PASSWORD, HERE).person == operator.person


def test_a_guesser_makes_neither_the_name_wait_elsewhere_nor_others_at_the_address(
    sqlite_store: Store, operator: people.NewPerson
) -> None:
    ada = people.add_person(sqlite_store, "ada", "chatter", password=PASSWORD)
    wrong(sqlite_store, "olga", HERE)
    wrong(sqlite_store, "nobody of this name", HERE)
    assert people.sign_in(sqlite_store, "olga", PASSWORD, "10.0.0.1").person == operator.person
    assert people.sign_in(sqlite_store, "ada", PASSWORD, HERE).person == ada.person
    with pytest.raises(SlowDown):
        people.sign_in(sqlite_store, "olga", PASSWORD, HERE)
    with pytest.raises(SlowDown):  # names that exist are not told from others
        people.sign_in(sqlite_store, "nobody of this name", PASSWORD, HERE)


def test_a_browser_of_an_earlier_sign_in_is_let_through(
    sqlite_store: Store, operator: people.NewPerson, clock: Clock
) -> None:
    device = people.sign_in(sqlite_store, "olga", PASSWORD, HERE).device
    wrong(sqlite_store, "olga", HERE)
    again = people.sign_in(sqlite_store, "olga", PASSWORD, HERE, device=device)
    assert again.person == operator.person
    assert again.device != device
    with pytest.raises(SlowDown):  # a copy of the old token has nothing
        people.sign_in(sqlite_store, "olga", PASSWORD, HERE, device=device)
    clock.pass_s(DEVICE_S + 1)
    assert not people.knows_device(sqlite_store, "olga", again.device)


def test_a_stolen_device_is_no_free_pass_and_none_for_another_name(
    sqlite_store: Store, operator: people.NewPerson
) -> None:
    people.add_person(sqlite_store, "ada", "chatter", password=PASSWORD)
    device = people.sign_in(sqlite_store, "olga", PASSWORD, HERE).device
    wrong(sqlite_store, "olga", "10.0.0.1", 2 * FREE, device=device)  # the device's own tries, then the address's
    with pytest.raises(SlowDown):
        people.sign_in(sqlite_store, "olga", PASSWORD, "10.0.0.1", device=device)
    wrong(sqlite_store, "ada", "10.0.0.1", device=device)
    with pytest.raises(SlowDown):
        people.sign_in(sqlite_store, "ada", PASSWORD, "10.0.0.1", device=device)
    assert people.sign_in(sqlite_store, "olga", PASSWORD, HERE, device=device).person == operator.person


def test_two_people_may_share_a_browser(sqlite_store: Store, operator: people.NewPerson) -> None:
    people.add_person(sqlite_store, "ada", "chatter", password=PASSWORD)
    device = people.sign_in(sqlite_store, "olga", PASSWORD, HERE).device
    device = people.sign_in(sqlite_store, "ada", PASSWORD, HERE, device=device).device
    assert people.knows_device(sqlite_store, "olga", device)
    assert people.knows_device(sqlite_store, "ada", device)
    assert not people.knows_device(sqlite_store, "ada", "made up")
    assert not people.knows_device(sqlite_store, "ada\0", device)


@pytest.mark.parametrize("name", ["x" * 100_000, "a\0b", "\ud800", ""])
def test_what_can_be_no_name_is_wrong_like_any_other(sqlite_store: Store, name: str) -> None:
    wrong(sqlite_store, name, HERE)
    with pytest.raises(SlowDown):
        people.sign_in(sqlite_store, name, "\ud800", HERE)


def test_parallel_guesses_do_not_slip_past_the_count(sqlite_store: Store, operator: people.NewPerson) -> None:
    def guess(number: int) -> type[Exception]:
        try:
            people.sign_in(sqlite_store, "olga", f"guess {number}", HERE)
        except (NotSignedIn, SlowDown) as error:
            return type(error)
        raise AssertionError("a guess was right")

    with ThreadPoolExecutor(12) as pool:
        outcomes = list(pool.map(guess, range(30)))
    assert outcomes.count(NotSignedIn) == FREE


def test_a_right_password_makes_earlier_slips_count_no_more(sqlite_store: Store, operator: people.NewPerson) -> None:
    for _ in range(2 * FREE):
        with pytest.raises(NotSignedIn):
            people.sign_in(sqlite_store, "olga", "slip of the finger", HERE)
        people.sign_in(sqlite_store, "olga", PASSWORD, HERE)


def test_disabled_people_cannot_sign_in_or_use_their_key(sqlite_store: Store, operator: people.NewPerson) -> None:
    added = people.add_person(sqlite_store, "ada", "annotator")
    token = people.sign_in(sqlite_store, "ada", added.password, HERE).token
    people.set_disabled(sqlite_store, operator.person, "ada", True)
    assert people.person_of_token(sqlite_store, token) is None
    assert people.person_of_key(sqlite_store, added.api_key) is None
    with pytest.raises(NotSignedIn, match="disabled"):
        people.sign_in(sqlite_store, "ada", added.password, HERE)
    people.set_disabled(sqlite_store, operator.person, "ada", False)
    assert people.person_of_key(sqlite_store, added.api_key) is None
    assert people.person_of_token(sqlite_store, token) is None
    assert people.sign_in(sqlite_store, "ada", added.password, HERE).person.name == "ada"


def test_a_reset_password_replaces_the_old_one_and_ends_sessions(
    sqlite_store: Store, operator: people.NewPerson
) -> None:
    added = people.add_person(sqlite_store, "ada", "chatter")
    token = people.sign_in(sqlite_store, "ada", added.password, HERE).token
    fresh = people.reset_password(sqlite_store, operator.person, "ada")
    assert people.person_of_token(sqlite_store, token) is None
    with pytest.raises(NotSignedIn):
        people.sign_in(sqlite_store, "ada", added.password, HERE)
    assert people.sign_in(sqlite_store, "ada", fresh, HERE).person.name == "ada"
    with pytest.raises(NotFound, match="nobody"):
        people.reset_password(sqlite_store, operator.person, "nobody")


def test_a_reset_lets_the_person_in_where_they_had_to_wait_and_ends_the_key_when_asked(
    sqlite_store: Store, operator: people.NewPerson
) -> None:
    added = people.add_person(sqlite_store, "ada", "chatter")
    wrong(sqlite_store, "ada", HERE)
    fresh = people.reset_password(sqlite_store, operator.person, "ada")
    assert people.person_of_key(sqlite_store, added.api_key) is not None
    assert people.sign_in(sqlite_store, "ada", fresh, HERE).person.name == "ada"
    people.reset_password(sqlite_store, operator.person, "ada", revoke_keys=True)
    assert people.person_of_key(sqlite_store, added.api_key) is None
    with pytest.raises(UsageError, match="scripted"):
        people.renew_password(sqlite_store, people.add_person(sqlite_store, "warm", "chatter", scripted=True).person)


def test_changing_ones_password_needs_the_old_one_and_ends_every_session_but_a_new_one(
    sqlite_store: Store, operator: people.NewPerson
) -> None:
    here, there = (people.sign_in(sqlite_store, "olga", PASSWORD, HERE) for _ in range(2))
    change = partial(people.change_password, sqlite_store, operator.person, token=here.token, device=here.device)
    with pytest.raises(NotSignedIn):
        change("wrong", "another long one")
    with pytest.raises(UsageError, match="at least 8"):
        change(PASSWORD, "short")
    fresh = change(PASSWORD, "another long one")
    assert people.person_of_token(sqlite_store, fresh.token) is not None
    assert [people.person_of_token(sqlite_store, old.token) for old in (here, there)] == [None, None]
    known = [people.knows_device(sqlite_store, "olga", session.device) for session in (fresh, here, there)]
    assert known == [True, False, False]
    assert people.person_of_key(sqlite_store, operator.api_key) is not None
    again = people.change_password(
        sqlite_store, operator.person, "another long one", PASSWORD, token=fresh.token, revoke_keys=True
    )
    assert people.person_of_token(sqlite_store, again.token) is not None
    assert people.person_of_key(sqlite_store, operator.api_key) is None


def test_a_stolen_session_cannot_guess_the_password_and_nobody_else_can_block_its_change(
    sqlite_store: Store, operator: people.NewPerson
) -> None:
    stolen, own = (people.sign_in(sqlite_store, "olga", PASSWORD, HERE) for _ in range(2))
    for _ in range(FREE):
        with pytest.raises(NotSignedIn):
            people.change_password(sqlite_store, operator.person, "guess", "another long one", token=stolen.token)
    with pytest.raises(SlowDown):
        people.change_password(sqlite_store, operator.person, PASSWORD, "another long one", token=stolen.token)
    wrong(sqlite_store, "olga", HERE)
    assert people.change_password(sqlite_store, operator.person, PASSWORD, "another long one", token=own.token)


def test_another_role_counts_at_once_for_sessions_and_keys(sqlite_store: Store, operator: people.NewPerson) -> None:
    added = people.add_person(sqlite_store, "ada", "operator")
    token = people.sign_in(sqlite_store, "ada", added.password, HERE).token
    people.set_role(sqlite_store, operator.person, "ada", "chatter")
    for found in (people.person_of_token(sqlite_store, token), people.person_of_key(sqlite_store, added.api_key)):
        assert found is not None
        assert found.role == Role.CHATTER


def test_an_operator_ends_one_persons_key(sqlite_store: Store, operator: people.NewPerson) -> None:
    added = people.add_person(sqlite_store, "ada", "chatter")
    assert people.revoke_key(sqlite_store, operator.person, "ada") == 1
    assert people.revoke_key(sqlite_store, operator.person, "ada") == 0
    assert people.person_of_key(sqlite_store, added.api_key) is None
    assert people.person_of_key(sqlite_store, operator.api_key) is not None


@pytest.mark.parametrize(
    ("role", "reaches"),
    [("chatter", {"chatter"}), ("annotator", {"chatter", "annotator"}), ("operator", set(Role))],
)
def test_each_role_includes_the_ones_below(sqlite_store: Store, role: str, reaches: set[str]) -> None:
    person = people.add_person(sqlite_store, "somebody", role).person
    for needed in Role:
        if needed in reaches:
            people.require(person, needed)
        else:
            with pytest.raises(NotAllowed, match=f"somebody is {role}"):
                people.require(person, needed)


def test_only_operators_look_after_people(sqlite_store: Store) -> None:
    ada = people.add_person(sqlite_store, "ada", "annotator").person
    for act in (
        lambda: people.reset_password(sqlite_store, ada, "ada"),
        lambda: people.revoke_key(sqlite_store, ada, "ada"),
        lambda: people.set_disabled(sqlite_store, ada, "ada", True),
        lambda: people.set_role(sqlite_store, ada, "ada", "operator"),
        lambda: people.set_aside(sqlite_store, ada, "ada", False),
    ):
        with pytest.raises(NotAllowed):
            act()


def test_the_last_operator_stays(sqlite_store: Store, operator: people.NewPerson) -> None:
    with pytest.raises(Conflict, match="last operator"):
        people.set_disabled(sqlite_store, operator.person, "olga", True)
    with pytest.raises(Conflict, match="last operator"):
        people.set_role(sqlite_store, operator.person, "olga", "annotator")


def test_scripted_people_have_no_way_to_sign_in(sqlite_store: Store) -> None:
    bot = people.add_person(sqlite_store, "warm", "annotator", scripted=True)
    assert (bot.password, bot.api_key, bot.person.scripted) == ("", "", True)
    with pytest.raises(NotSignedIn):
        people.sign_in(sqlite_store, "warm", "", HERE)


def test_a_new_key_replaces_the_old_one(sqlite_store: Store) -> None:
    added = people.add_person(sqlite_store, "ada", "chatter")
    assert people.person_of_key(sqlite_store, added.api_key) == added.person
    fresh = people.new_key(sqlite_store, added.person)
    assert people.person_of_key(sqlite_store, added.api_key) is None
    assert people.person_of_key(sqlite_store, fresh) == added.person


def test_the_first_operator_is_made_once(sqlite_store: Store) -> None:
    first = people.ensure_operator(sqlite_store, PASSWORD)
    assert first is not None
    assert first.person.role == Role.OPERATOR
    assert people.ensure_operator(sqlite_store, PASSWORD) is None
    assert people.sign_in(sqlite_store, first.person.name, PASSWORD, HERE).person == first.person


@pytest.mark.parametrize(
    ("name", "role", "password", "sentence"),
    [
        ("", "chatter", None, "1 to 64"),
        ("a\nb", "chatter", None, "printable"),
        ("x" * 65, "chatter", None, "1 to 64"),
        ("ada", "king", None, "no role king"),
        ("ada", "chatter", "short", "at least 8"),
    ],
)
def test_wrong_input_is_named(sqlite_store: Store, name: str, role: str, password: str | None, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        people.add_person(sqlite_store, name, role, password=password)
    assert sqlite_store.people.listing() == []


def test_consent_is_one_line_and_is_remembered(sqlite_store: Store) -> None:
    ada = people.add_person(sqlite_store, "ada", "chatter").person
    assert "\n" not in LINE
    assert not has_consented(ada)
    assert has_consented(consent(sqlite_store, ada))
