"""Fixtures shared by all tests: a store on SQLite and on a real PostgreSQL, a clock, people, a fake model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

# On a busy machine a slow example is not a wrong one.
settings.register_profile("alignloop", deadline=None)
settings.load_profile("alignloop")

if TYPE_CHECKING:
    from feedback_app.store.database import Store
    from feedback_app.store.tables import Person
    from tests.fakes import Clock, FakeVllm
    from tests.postgres import PrivatePostgres

DATABASES = [pytest.param("sqlite"), pytest.param("postgres", marks=pytest.mark.slow)]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast tests first: what is simply wrong shows in seconds, not after the servers have started.

    Of the slow files, those that may take longest come first, so that no process waits for the other at the end.
    """
    patience: dict[Path, float] = {}
    for item in items:
        marker = item.get_closest_marker("timeout")
        patience[item.path] = max(patience.get(item.path, 0.0), float(marker.args[0]) if marker and marker.args else 0)

    def place(item: pytest.Item) -> tuple[int, float]:
        rank = bool(item.get_closest_marker("slow")) + 2 * bool(item.get_closest_marker("long"))
        return rank, -patience[item.path] if rank else 0.0

    items.sort(key=place)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PrivatePostgres]:
    """One private PostgreSQL for each process of tests, started at the first test that asks for it."""
    from tests.postgres import ADVICE, PrivatePostgres, binaries

    if os.environ.get("ALIGNLOOP_TEST_SKIP_POSTGRES") == "1":
        pytest.skip("ALIGNLOOP_TEST_SKIP_POSTGRES=1")
    folder = binaries()
    if folder is None:
        pytest.fail(ADVICE, pytrace=False)
    server = PrivatePostgres(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh, empty database, once per kind of database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'store' / 'alignloop.db'}"
        return
    server: PrivatePostgres = request.getfixturevalue("postgres_server")
    url = server.new_database()
    yield url
    server.drop_database(url)


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still until a test moves it."""
    from tests.fakes import Clock

    return Clock()


@pytest.fixture
def store(database_url: str, clock: Clock) -> Iterator[Store]:
    """An empty store, once per kind of database."""
    from feedback_app.store.database import open_store

    store = open_store(database_url, clock)
    yield store
    store.close()


@pytest.fixture
def sqlite_store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    """An empty store on SQLite, for tests whose subject is not the database."""
    from feedback_app.store.database import open_store

    store = open_store(f"sqlite:///{tmp_path / 'alignloop.db'}", clock)
    yield store
    store.close()


@pytest.fixture
def person(store: Store) -> Callable[..., Person]:
    """Makes a person in `store` without the cost of a password."""

    def make(name: str = "ada", role: str = "annotator", scripted: bool = False) -> Person:
        return store.people.add(name, role, "", scripted=scripted)

    return make


@pytest.fixture
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 at its lowest cost, for tests that hash many passwords and are not about their strength."""
    from argon2 import PasswordHasher

    from feedback_app.collect import people

    monkeypatch.setattr(people, "PASSWORDS", people.Passwords(PasswordHasher(1, 8, 1)))


@pytest.fixture
def vllm() -> FakeVllm:
    """A fake vLLM with the base model loaded."""
    from tests.fakes import FakeVllm

    return FakeVllm()
