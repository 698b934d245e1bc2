"""Passwords, sessions, keys and roles."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import PasswordHasher, Type, extract_parameters
from sqlalchemy import text

from feedback_app.collect import people
from feedback_app.collect.consent import LINE, consent, has_consented
from feedback_app.collect.people import Role
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


def test_wrong_passwords_for_one_name_are_slowed_from_any_address(
    sqlite_store: Store, operator: people.NewPerson, clock: Clock
) -> None:
    for number in range(people.FREE_BY_NAME):
        with pytest.raises(NotSignedIn):
            people.sign_in(sqlite_store, "olga", "wrong", f"10.0.0.{number}")
    with pytest.raises(SlowDown) as slowed:
        people.sign_in(sqlite_store, "olga", PASSWORD, "10.0.1.1")
    assert slowed.value.retry_after_s == 1
    clock.pass_s(1)
    with pytest.raises(NotSignedIn):
        people.sign_in(sqlite_store, "olga", "wrong", "10.0.1.1")
    with pytest.raises(SlowDown) as slowed:
        people.sign_in(sqlite_store, "olga", PASSWORD, "10.0.1.1")
    assert slowed.value.retry_after_s == 2
    clock.pass_s(2)
    assert people.sign_in(sqlite_store, "olga", PASSWORD, "10.0.1.1").person == operator.person


def test_wrong_passwords_from_one_address_are_slowed_for_any_name(
    sqlite_store: Store, operator: people.NewPerson
) -> None:
    for number in range(people.FREE_BY_ADDRESS):
        sqlite_store.people.add_wrong_password(f"guess {number}", HERE)
    with pytest.raises(SlowDown):
        people.sign_in(sqlite_store, "olga", PASSWORD, HERE)
    assert people.sign_in(sqlite_store, "olga", PASSWORD, "10.0.0.1").person == operator.person


def test_parallel_guesses_do_not_slip_past_the_count(sqlite_store: Store, operator: people.NewPerson) -> None:
    def guess(number: int) -> type[Exception]:
        try:
            people.sign_in(sqlite_store, "olga", f"guess {number}", HERE)
        except (NotSignedIn, SlowDown) as error:
            return type(error)
        raise AssertionError("a guess was right")

    with ThreadPoolExecutor(12) as pool:
        outcomes = list(pool.map(guess, range(30)))
    assert outcomes.count(NotSignedIn) == people.FREE_BY_NAME


def test_the_wait_doubles_to_a_minute_and_old_tries_are_forgotten() -> None:
    waits = [people.wait_s(0.0, [0.0] * count, []) for count in range(4, 14)]
    assert waits == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert people.wait_s(100.0, [0.0] * 13, []) == 0
    assert people.wait_s(0.0, [], [0.0] * (people.FREE_BY_ADDRESS - 1)) == 0


def test_a_right_password_makes_earlier_slips_count_no_more(sqlite_store: Store, operator: people.NewPerson) -> None:
    for _ in range(2 * people.FREE_BY_NAME):
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
    assert people.person_of_key(sqlite_store, added.api_key) is not None


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


def test_changing_ones_password_needs_the_old_one_and_ends_other_sessions(
    sqlite_store: Store, operator: people.NewPerson
) -> None:
    here, there = (people.sign_in(sqlite_store, "olga", PASSWORD, HERE).token for _ in range(2))
    with pytest.raises(NotSignedIn):
        people.change_password(sqlite_store, operator.person, "wrong", "another long one")
    with pytest.raises(UsageError, match="at least 8"):
        people.change_password(sqlite_store, operator.person, PASSWORD, "short")
    people.change_password(sqlite_store, operator.person, PASSWORD, "another long one", keep_token=here)
    assert people.person_of_token(sqlite_store, here) is not None
    assert people.person_of_token(sqlite_store, there) is None
    assert people.sign_in(sqlite_store, "olga", "another long one", HERE).token


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
