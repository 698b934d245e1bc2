"""What vLLM should have loaded, and making it so: the only place that loads and unloads adapters.

Desired are the version that `policy` means, the challenger, the version of the running round, a milestone
of it that people are asked about with the version it started from, and whatever an operator asked to have
ready (`ask_for`). What is missing is loaded and probed on every
replica; what lost its last use is unloaded only after a request's longest life has passed, because a
request that began just before still needs it. Runtime adapters do not survive a restart of vLLM, so this
is done on a timer: nothing here remembers that something was loaded.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feedback_app.errors import Unavailable
from feedback_app.heartbeat import WORKER, Life, last, life
from feedback_app.loop.versions import served_name
from feedback_app.store.database import Store
from feedback_app.store.tables import Version
from feedback_app.store.versions import LOADING, WATCHED
from serving.errors import ServingError, VllmError, VllmUnreachable

if TYPE_CHECKING:
    from serving.client import VllmClient

log = logging.getLogger(__name__)

ASKED = "wanted:"  # beats of this prefix name versions that an operator wants ready
ASKED_FOR_S = 120.0


@dataclass(frozen=True, slots=True)
class Replica:
    """One vLLM as last seen: `state` is ready or unreachable; `loaded` names the versions it answers for."""

    url: str
    state: str
    loaded: tuple[str, ...] = ()
    problem: str = ""


@dataclass
class _Memory:
    """What only saves work or explains itself: losing it costs a probe and postpones an unload."""

    probed: set[tuple[str, str]] = field(default_factory=set)  # (replica, version)
    unused_since: dict[tuple[str, str], float] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)  # by version: why vLLM will not take it


def desired_versions(store: Store, now: float) -> dict[str, Version]:
    """The versions that vLLM must answer for now, by name."""
    names: list[str | None] = []
    published = store.versions.published()
    names.append(published.version if published else None)
    challenger = store.versions.challenger()
    names.append(challenger.name if challenger else None)
    running = store.rounds.active()
    names.append(running.version if running else None)
    for milestone in store.versions.watched((LOADING, WATCHED)):
        names += [milestone.name, milestone.parent]
    names += [
        beat.name.removeprefix(ASKED)
        for beat in store.beats.all()
        if beat.name.startswith(ASKED) and now - beat.at < ASKED_FOR_S
    ]
    found = {name: store.versions.get(name) for name in names if name}
    return {name: version for name, version in found.items() if version and version.state != "unloadable"}


class Reconcile:
    """Brings replicas to what is desired. One object in one process: the worker."""

    def __init__(
        self,
        store: Store,
        replicas: Sequence[VllmClient],
        *,
        home: Path,
        seen_at: str = "",
        request_deadline_s: float = 120.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`home` holds the versions' folders; `seen_at` is where the replicas see it, if that differs."""
        self._store = store
        self._replicas = list(replicas)
        self._home = home.resolve()
        self._seen_at = seen_at
        self._deadline_s = request_deadline_s
        self._clock = clock
        self._memory = _Memory()
        self._lock = asyncio.Lock()  # timer and rounds take turns
        self.replicas: tuple[Replica, ...] = ()

    async def once(self) -> tuple[Replica, ...]:
        """Look, load, probe, unload, and say what is there now. Never raises on an unreachable replica."""
        async with self._lock:
            desired, known = await asyncio.to_thread(self._wanted)
            self.replicas = tuple(
                await asyncio.gather(*(self._replica(client, desired, known) for client in self._replicas))
            )
        return self.replicas

    async def ensure(self, version: Version, *, timeout_s: float, poll_s: float = 1.0) -> None:
        """Wait until every replica answers for a version that is desired.

        Raises `Unavailable` when vLLM refuses it, or cannot be reached for `timeout_s`.
        """
        end = time.monotonic() + timeout_s
        while True:
            replicas = await self.once()
            if replicas and all(version.name in replica.loaded for replica in replicas):
                return
            if version.name in self._memory.refused:
                raise Unavailable(f"vLLM does not load {version.name}: {self._memory.refused[version.name]}")
            if time.monotonic() >= end:
                reason = next((replica.problem for replica in replicas if replica.problem), "it is not ready")
                raise Unavailable(f"{version.name} could not be loaded within {timeout_s:g} s: {reason}")
            await asyncio.sleep(poll_s)

    def state(self) -> dict[str, Any]:
        """What the worker's beat says about vLLM."""
        loaded = [set(replica.loaded) for replica in self.replicas]
        return {
            "loaded": sorted(set.intersection(*loaded)) if loaded else [],
            "replicas": [
                {"url": r.url, "state": r.state, "loaded": list(r.loaded), "problem": r.problem} for r in self.replicas
            ],
            "refused": dict(self._memory.refused),
        }

    def _wanted(self) -> tuple[dict[str, Version], dict[str, Version]]:
        known = {version.name: version for version in self._store.versions.listing(milestones=True)}
        return desired_versions(self._store, self._clock()), known

    async def _replica(self, client: VllmClient, desired: dict[str, Version], known: dict[str, Version]) -> Replica:
        url = client.base_url
        try:
            present = {model.name for model in await client.models()}
        except ServingError as error:
            self._forget(url)
            return Replica(url, "unreachable", problem=str(error))
        self._memory.probed = {pair for pair in self._memory.probed if pair[0] != url or pair[1] in present}
        ready: list[str] = []
        for name, version in desired.items():
            if await self._bring(client, version, present):
                ready.append(name)
        for name in present & {name for name, version in known.items() if version.form == "adapter"}:
            if name in desired:
                self._memory.unused_since.pop((url, name), None)
            else:
                await self._retire(client, name)
        return Replica(url, "ready", tuple(sorted(ready)))

    async def _bring(self, client: VllmClient, version: Version, present: set[str]) -> bool:
        """Load (an adapter that is missing) and probe (once per load). False says that it does not answer."""
        model, pair = served_name(version), (client.base_url, served_name(version))
        if model in present and pair in self._memory.probed:
            return True
        try:
            if model not in present:
                if version.form == "full":
                    return False
                await client.load(model, self._path(version))
                log.info("loaded %s into %s", model, client.base_url)
            await client.probe(model)
        except VllmUnreachable:
            return False
        except ServingError as error:
            log.warning("%s does not take %s: %s", client.base_url, model, error)
            if isinstance(error, VllmError) and error.status < 500:  # beyond that vLLM itself is unwell
                self._memory.refused[version.name] = str(error)
            return False
        self._memory.refused.pop(version.name, None)
        self._memory.probed.add(pair)
        return True

    async def _retire(self, client: VllmClient, name: str) -> None:
        pair = (client.base_url, name)
        since = self._memory.unused_since.setdefault(pair, self._clock())
        if self._clock() - since < self._deadline_s:
            return
        try:
            await client.unload(name)
        except ServingError as error:
            log.warning("%s does not unload %s: %s", client.base_url, name, error)
            return
        self._memory.unused_since.pop(pair, None)
        self._memory.probed.discard(pair)
        log.info("unloaded %s from %s", name, client.base_url)

    def _path(self, version: Version) -> str:
        """The artifact's folder as the replicas see it."""
        path = Path(version.path)
        if self._seen_at and path.is_relative_to(self._home):
            return f"{self._seen_at.rstrip('/')}/{path.relative_to(self._home).as_posix()}"
        return str(path)

    def _forget(self, url: str) -> None:
        self._memory.probed = {pair for pair in self._memory.probed if pair[0] != url}


def ask_for(store: Store, version: Version, *, timeout_s: float = 60.0, poll_s: float = 0.2) -> None:
    """From any process: have the worker load a version, and wait until it is ready everywhere.

    Raises `Unavailable` when no worker runs, when vLLM refuses the version, or after `timeout_s`.
    """
    end = time.monotonic() + timeout_s
    asked = False
    while True:
        beat = last(store, WORKER)
        if beat is None or life(beat, store.now()) is Life.STOPPED:
            raise Unavailable("No worker is running, and only it may load versions. Start it with `alignloop worker`.")
        if version.name in beat.state.get("loaded", ()):
            return
        refused = beat.state.get("refused", {}).get(version.name)
        if asked and refused:
            raise Unavailable(f"vLLM does not load {version.name}: {refused}")
        if not asked:
            store.beats.beat(ASKED + version.name, {"version": version.name})
            asked = True
        if time.monotonic() >= end:
            raise Unavailable(
                f"{version.name} was not loaded within {timeout_s:g} s. See `alignloop status` for the state of vLLM."
            )
        time.sleep(poll_s)
