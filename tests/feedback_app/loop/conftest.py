"""Fixtures of tests in which a worker runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from feedback_app.store.database import Store, open_store
from tests.feedback_app.loop.bench import Bench


@pytest.fixture
def live_store(tmp_path: Path) -> Iterator[Store]:
    """A store with a clock that runs, for leases and timers."""
    store = open_store(f"sqlite:///{tmp_path / 'alignloop.db'}")
    yield store
    store.close()


@pytest.fixture
def make(live_store: Store, tmp_path: Path) -> Callable[..., Bench]:
    """Makes a bench with settings."""
    return lambda **settings: Bench(live_store, tmp_path / "home", **settings)
