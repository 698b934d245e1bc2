"""Fixtures of tests in which a worker runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from feedback_app.store.database import Store, open_store


@pytest.fixture
def live_store(tmp_path: Path) -> Iterator[Store]:
    """A store with a clock that runs, for leases and timers."""
    store = open_store(f"sqlite:///{tmp_path / 'alignloop.db'}")
    yield store
    store.close()
