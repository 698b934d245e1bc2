"""Wrong passwords by guesser, and known devices: kept few, for a short time, in one database for every process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from feedback_app.collect.guessing import LONGEST_WAIT_S, MEMORY_S, wait_s
from feedback_app.store import guesses
from feedback_app.store.database import open_store

if TYPE_CHECKING:
    from feedback_app.store.database import Store
    from feedback_app.store.tables import Person
    from tests.fakes import Clock

WEEK_S = 7 * 24 * 3600.0


def book(store: Store, name: str = "ada", *sources: str) -> guesses.Booked:
    return store.guesses.book(name, sources or ("here",), wait_s, MEMORY_S)


def exhaust(store: Store, name: str = "ada", *sources: str) -> None:
    while not book(store, name, *sources).wait_s:
        pass


def test_a_try_counts_on_the_first_source_that_need_not_wait(store: Store) -> None:
    assert [book(store, "ada", "device", "address").source for _ in range(6)] == ["device"] * 5 + ["address"]
    exhaust(store, "ada", "device", "address")
    assert book(store, "ada", "device", "address").wait_s == 1
    assert book(store, "ada", "elsewhere").source == "elsewhere"
    assert book(store, "ben", "address").source == "address"
    store.guesses.forget("ada", "device")
    assert book(store, "ada", "device", "address").source == "device"
    store.guesses.forget_name("ada")
    assert store.guesses.count() == 1


def test_parallel_tries_of_several_processes_do_not_slip_past_the_count(
    store: Store, database_url: str, clock: Clock
) -> None:
    other = open_store(database_url, clock)
    with ThreadPoolExecutor(8) as pool:
        booked = list(pool.map(book, [store, other] * 10))
    assert [found.wait_s for found in booked].count(0) == 5
    other.close()


def test_more_wrong_names_than_fit_stay_within_bounds_and_free_nobody(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guesses, "MOST", 128)
    exhaust(store, "ada")
    for number in range(1_000):
        assert book(store, f"name {number}").wait_s == 0
        assert number % 50 or store.guesses.count() <= 128
    assert 64 <= store.guesses.count() <= 128
    assert book(store, "ada").wait_s > 0, "the guesser of ada is still remembered"


def test_old_guessers_are_forgotten_at_the_next_try(store: Store, clock: Clock) -> None:
    exhaust(store)
    clock.pass_s(MEMORY_S + 1)
    assert book(store, "ben").wait_s == 0
    assert store.guesses.count() == 1
    assert [book(store).wait_s for _ in range(6)] == [0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize("step_s", [-WEEK_S, -LONGEST_WAIT_S, WEEK_S])
def test_a_clock_that_is_set_makes_nobody_wait_longer(store: Store, clock: Clock, step_s: float) -> None:
    exhaust(store)
    clock.pass_s(1)
    assert book(store).wait_s == 0
    clock.pass_s(step_s)
    wait = book(store).wait_s
    assert wait == (2 if step_s < 0 else 0), "from now on, as if the wrong password had just come"
    clock.pass_s(2)
    assert book(store).wait_s == 0


def test_a_refused_try_writes_nothing(store: Store) -> None:
    exhaust(store)
    with store.database.read() as session:
        before = session.execute(text("SELECT * FROM wrong_password")).all()
    for _ in range(10):
        assert book(store).wait_s == 1
    with store.database.read() as session:
        assert session.execute(text("SELECT * FROM wrong_password")).all() == before


def test_a_browser_is_known_for_its_people_and_under_its_newest_token_only(
    store: Store, person: Callable[..., Person], clock: Clock
) -> None:
    ada, ben = person("ada"), person("ben")
    store.people.add_sign_in("a", ada.id, clock.now + 9, device="one")
    store.people.add_sign_in("b", ben.id, clock.now + 9, device="two", replaces="one")
    assert [store.guesses.knows(device, "ada", 0) for device in ("one", "two")] == [False, True]
    assert [store.guesses.knows(device, "ben", 0) for device in ("one", "two")] == [False, True]
    store.people.add_sign_in("c", ada.id, clock.now + 9, device="three", replaces="two")
    assert store.guesses.knows("three", "ben", 0)
    assert not store.guesses.knows("three", "ada", clock.now + 1)


def test_the_oldest_browsers_of_a_person_are_forgotten(
    store: Store, person: Callable[..., Person], clock: Clock
) -> None:
    ada = person()
    for number in range(guesses.MOST_DEVICES + 3):
        clock.pass_s(1)
        store.people.add_sign_in(f"s{number}", ada.id, clock.now + 9, device=f"d{number}")
    known = [store.guesses.knows(f"d{number}", "ada", 0) for number in range(guesses.MOST_DEVICES + 3)]
    assert known == [False] * 3 + [True] * guesses.MOST_DEVICES
