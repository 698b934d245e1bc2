"""Which versions vLLM must answer for now, and how an operator asks for one more.

Reads and writes the database alone: making it so is `reconcile`'s.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from feedback_app.domain.versions import VersionState
from feedback_app.errors import Unavailable
from feedback_app.heartbeat import WORKER, Life, last, life
from feedback_app.store.database import Store
from feedback_app.store.tables import Version

ASKED = "wanted:"  # beats of this prefix name versions that an operator wants ready
ASKED_FOR_S = 120.0


def desired_versions(store: Store, now: float, also: Sequence[str] = ()) -> dict[str, Version]:
    """The versions that vLLM must answer for now, by name; `also` among them."""
    names: list[str | None] = [*also]
    published = store.versions.published()
    names.append(published.version if published else None)
    challenger = store.versions.challenger()
    names.append(challenger.name if challenger else None)
    running = store.rounds.active()
    names += [running.version, running.incumbent] if running else []
    for milestone in store.versions.watched((VersionState.LOADING, VersionState.WATCHED)):
        names += [milestone.name, milestone.parent]
    names += asked(store, now)
    found = {name: store.versions.get(name) for name in names if name}
    return {name: version for name, version in found.items() if version and version.state != VersionState.UNLOADABLE}


def asked(store: Store, now: float) -> dict[str, float]:
    """The versions that operators want ready, with when they asked."""
    return {
        beat.name.removeprefix(ASKED): beat.at
        for beat in store.heartbeats.all()
        if beat.name.startswith(ASKED) and now - beat.at < ASKED_FOR_S
    }


def ask_for(store: Store, version: Version, *, timeout_s: float = 60.0, poll_s: float = 0.2) -> None:
    """From any process: have the worker load a version, and wait until it is ready everywhere.

    Raises `Unavailable` when no worker runs, when the version is refused, or after `timeout_s`.
    """
    end = time.monotonic() + timeout_s
    asked_at = None
    while True:
        beat = last(store, WORKER)
        if beat is None or life(beat, store.now()) is Life.STOPPED:
            raise Unavailable("No worker is running, and only it may load versions. Start it with `alignloop worker`.")
        if version.name in beat.state.get("loaded", ()):
            return
        refused = beat.state.get("refused", {}).get(version.name)
        # Only what was found after we asked: its files may have been restored.
        if asked_at is not None and refused and beat.state.get("looked_at", 0.0) > asked_at:
            raise Unavailable(f"{version.name} cannot be served: {refused}")
        if asked_at is None:
            asked_at = store.heartbeats.beat(ASKED + version.name, {"version": version.name}).at
        if time.monotonic() >= end:
            raise Unavailable(
                f"{version.name} was not loaded within {timeout_s:g} s. See `alignloop status` for the state of vLLM."
            )
        time.sleep(poll_s)
