"""What vLLM should have loaded, and making it so: the only place that loads and unloads adapters.

Desired are the version that `policy` means (and what it falls back on, while that one is refused), the challenger,
the version of the running round and its incumbent, a milestone of it that people are asked about with the version it
started from, and whatever an operator asked to have ready (`ask_for`). What is missing is loaded on every replica
once its files are those that were registered (`integrity`), and counts only when it answers, and answers as it did
when it was first loaded (`fingerprint`). What is not so is refused, with a sentence, and not asked for again before
`RETRY_S` have passed, its files changed, or an operator asked. What lost its last use is unloaded only after a
request's longest life has passed, because a request that began just before still needs it.

Others may use the same vLLM. Names carry a hash (`Version.served_name`), so a namesake is never taken for ours; what
holds one of our names from another folder is refused and left alone, and unloaded is only what has our name, lies
where we had it loaded from, and is in this home. A vLLM that was started with another model than this home's is not
touched at all. Runtime adapters do not survive a restart of vLLM, so all this is done on a timer: nothing here
remembers that something was loaded.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from feedback_app.domain.beats import BeatState
from feedback_app.domain.versions import VersionForm
from feedback_app.errors import Unavailable
from feedback_app.loop import fingerprint
from feedback_app.loop.integrity import Bases, Files, base_among, same_place
from feedback_app.loop.wanted import asked, desired_versions
from feedback_app.store.database import Store
from feedback_app.store.tables import Version
from serving.errors import ServingError, VllmUnreachable

if TYPE_CHECKING:
    from serving.client import ServedModel, VllmClient

log = logging.getLogger(__name__)

OTHER_MODEL = "other model"  # a replica's state: what it was started with is not this home's model
RETRY_S = 60.0  # how long a refusal stands
CHECK_AGAIN_S = 600.0  # vLLM reads adapters from disk again when it has many
FAILURES = 3  # times that a healthy vLLM fails at a version before it counts as refused


@dataclass(frozen=True, slots=True)
class Replica:
    """One vLLM as last seen: `state` is ready, unreachable or `OTHER_MODEL`.

    `loaded` names the versions it answers for.
    """

    url: str
    state: str
    loaded: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a version is not served, and when that was found. `seen`: at every look, so it ends by itself."""

    why: str
    at: float
    seen: bool = False


@dataclass
class _Memory:
    """What only saves work or explains itself: losing it costs a look and postpones an unload."""

    checked: dict[tuple[str, str], float] = field(default_factory=dict)  # (replica, served name): when
    unused_since: dict[tuple[str, str], float] = field(default_factory=dict)
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: dict[tuple[str, str], Refusal] = field(default_factory=dict)  # (replica, version)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One look at the database: what must answer, every version there is, when operators asked for some."""

    desired: dict[str, Version]
    known: list[Version]
    asked_at: dict[str, float]

    @property
    def base(self) -> Version | None:
        """This home's model; None before it is registered."""
        return base_among(self.known)


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
        engine: Callable[[], str] = str,
        instead: Callable[[Collection[str]], Version | None] = lambda refused: None,
        files: Callable[..., str] | None = None,
    ) -> None:
        """`home` holds the versions' folders; `seen_at` is where the replicas see it, if that differs.

        `engine` says of vLLM what it does not say itself (device and number format). `instead` gives what must be
        ready in place of a published version that is refused, of all that are. `files` is `integrity.Files.problem`.
        """
        self._store = store
        self._replicas = list(replicas)
        self._home = home.resolve()
        self._seen_at = seen_at
        self._deadline_s = request_deadline_s
        self._clock = clock
        self._engine = engine
        self._instead = instead
        self._files = files or Files().problem
        self._bases = Bases()
        self._memory = _Memory()
        self._looked_at = 0.0
        self._lock = asyncio.Lock()  # timer and rounds take turns
        self.replicas: tuple[Replica, ...] = ()

    async def once(self) -> tuple[Replica, ...]:
        """Look, load, probe, unload, and say what is there now. Never raises on an unreachable replica."""
        async with self._lock:
            looked_at = self._clock()
            wanted = await asyncio.to_thread(self._wanted)
            self._memory.refused = {
                pair: refusal
                for pair, refusal in self._memory.refused.items()
                # What `policy` could have fallen back on is remembered too, or it would be tried again and again.
                if pair[1] in wanted.desired or looked_at - refusal.at < CHECK_AGAIN_S
            }
            self.replicas = tuple(await asyncio.gather(*(self._replica(client, wanted) for client in self._replicas)))
            self._looked_at = looked_at
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
            if version.name in self.refused:
                raise Unavailable(f"{version.name} cannot be served: {self.refused[version.name]}")
            if other := next((replica for replica in replicas if replica.state == OTHER_MODEL), None):
                raise Unavailable(other.problem)
            if time.monotonic() >= end:
                reason = next((replica.problem for replica in replicas if replica.problem), "it is not ready")
                raise Unavailable(f"{version.name} could not be loaded within {timeout_s:g} s: {reason}")
            await asyncio.sleep(poll_s)

    @property
    def refused(self) -> dict[str, str]:
        """Why a version cannot be served, by its name."""
        return {name: refusal.why for (_, name), refusal in self._memory.refused.items()}

    @property
    def loaded(self) -> list[str]:
        """The versions that every replica answers for."""
        loaded = [set(replica.loaded) for replica in self.replicas]
        return sorted(set.intersection(*loaded)) if loaded else []

    def state(self) -> BeatState:
        """What the worker's beat says about vLLM; `looked_at` is when the look began that found it."""
        return {
            "loaded": self.loaded,
            "looked_at": self._looked_at,
            "replicas": [
                {"url": r.url, "state": r.state, "loaded": list(r.loaded), "problem": r.problem} for r in self.replicas
            ],
            "refused": self.refused,
        }

    def _wanted(self) -> _Wanted:
        now = self._clock()
        good = self._instead(self.refused) if self._memory.refused else None
        return _Wanted(
            desired_versions(self._store, now, [good.name] if good else []),
            self._store.versions.listing(milestones=True),
            asked(self._store, now),
        )

    async def _replica(self, client: VllmClient, wanted: _Wanted) -> Replica:
        url = client.base_url
        try:
            listed = {model.name: model for model in await client.models()}
        except ServingError as error:
            self._forget(url)
            return Replica(url, "unreachable", problem=str(error))
        if wanted.base is not None:
            other = await asyncio.to_thread(self._bases.problem, url, listed, wanted.base)
            if other:
                self._forget(url)
                return Replica(url, OTHER_MODEL, problem=other)
        self._memory.checked = {
            pair: at for pair, at in self._memory.checked.items() if pair[0] != url or pair[1] in listed
        }
        ready = [name for name, version in wanted.desired.items() if await self._bring(client, version, listed, wanted)]
        for version in wanted.known:
            if version.name in wanted.desired:
                self._memory.unused_since.pop((url, version.served_name), None)
            elif self._is_ours(version, listed.get(version.served_name)):
                await self._retire(client, version.served_name)
        return Replica(url, "ready", tuple(sorted(ready)))

    async def _bring(
        self, client: VllmClient, version: Version, listed: Mapping[str, ServedModel], wanted: _Wanted
    ) -> bool:
        """Have an adapter loaded that is missing, and see that the version is what it was. False when it is not."""
        pair, url = (client.base_url, version.served_name), client.base_url
        card = listed.get(version.served_name)
        if card is None and version.form == VersionForm.FULL:
            return False
        wrong = await asyncio.to_thread(self._files, version)
        if (
            not wrong
            and version.form == VersionForm.ADAPTER
            and card
            and not same_place(card.path, self._path(version))
        ):
            wrong = f"{url} has {card.name} loaded from {card.path}, which is not this home's."
        if wrong:
            return self._refuse(url, version, wrong, seen=True)
        refusal = self._memory.refused.get((url, version.name))
        checked_at = self._memory.checked.get(pair, -math.inf)
        if card is not None and refusal is None and self._clock() - checked_at < CHECK_AGAIN_S:
            return True
        if refusal is not None and not self._is_due(refusal, wanted.asked_at.get(version.name)):
            return False
        try:
            wrong = await self._load(client, version) if card is None else ""
            if not wrong:
                await client.probe(version.served_name)
                wrong = await self._differs(client, version, wanted.base)
        except VllmUnreachable:
            return False
        except ServingError as error:
            return await self._failed(client, version, error)
        if wrong:
            await self._drop(client, version)
            return self._refuse(url, version, wrong)
        self._memory.refused.pop((url, version.name), None)
        self._memory.failures.pop(pair, None)
        self._memory.checked[pair] = self._clock()
        return True

    def _is_due(self, refusal: Refusal, asked_at: float | None) -> bool:
        """Whether a version that was refused is worth another try."""
        asked_since = asked_at is not None and asked_at > refusal.at
        return refusal.seen or asked_since or self._clock() - refusal.at >= RETRY_S

    async def _load(self, client: VllmClient, version: Version) -> str:
        """Load an adapter whose files are what they were; what is wrong, else empty."""
        if wrong := await asyncio.to_thread(self._files, version, again=True):
            return wrong
        await client.load(version.served_name, self._path(version))
        card = await self._card(client, version)
        if card is not None and not same_place(card.path, self._path(version)):
            return f"{client.base_url} has {card.name} loaded from {card.path}, which is not this home's."
        log.info("loaded %s into %s", version.served_name, client.base_url)
        return ""

    def _refuse(self, url: str, version: Version, why: str, *, seen: bool = False) -> bool:
        known = self._memory.refused.get((url, version.name))
        if known is None or known.why != why:
            log.error("%s cannot be served: %s", version.name, why)
        self._memory.refused[url, version.name] = Refusal(why, self._clock(), seen)
        return False

    async def _failed(self, client: VllmClient, version: Version, error: ServingError) -> bool:
        """vLLM did not load it, or it gave no answer. A vLLM that is well and fails again and again refuses it."""
        pair = (client.base_url, version.served_name)
        log.warning("%s does not take %s: %s", client.base_url, version.served_name, error)
        if not await client.health():
            return False
        self._memory.failures[pair] += 1
        if self._memory.failures[pair] < FAILURES:
            return False
        del self._memory.failures[pair]
        await self._drop(client, version)
        return self._refuse(client.base_url, version, f"vLLM does not take it: {error}")

    async def _differs(self, client: VllmClient, version: Version, base: Version | None) -> str:
        """How a loaded version differs from what it was when it was first loaded; the first time, that is kept."""
        name = version.served_name
        engine = f"{await client.version()} {await asyncio.to_thread(self._engine)}".strip()
        kept = await asyncio.to_thread(self._store.versions.fingerprint, version.name, engine)
        if kept is None:
            marks = await fingerprint.take(client, name, base.served_name if base is not None else "")
            if marks is None:
                return "its probabilities are not numbers."
            # Not of files that were exchanged between the look at them and vLLM's.
            if wrong := await asyncio.to_thread(self._files, version, again=True):
                return wrong
            await asyncio.to_thread(self._store.versions.keep_fingerprint, version.name, engine, marks)
            return ""
        apart = math.inf
        for _ in range(2):  # a verdict that ends serving is asked for twice
            apart = await fingerprint.distance(client, name, kept)
            if apart <= fingerprint.TOLERANCE:
                return ""
        how = f"by {apart:.2f} nats a token" if math.isfinite(apart) else "with what is no number"
        return f"what vLLM holds answers differently than when it was first loaded, {how}."

    async def _card(self, client: VllmClient, version: Version) -> ServedModel | None:
        """What vLLM lists under the version's name now."""
        return next((model for model in await client.models() if model.name == version.served_name), None)

    async def _drop(self, client: VllmClient, version: Version) -> None:
        """Have vLLM forget an adapter that must not answer anybody; requests that run keep what they began with."""
        self._memory.checked.pop((client.base_url, version.served_name), None)
        try:
            if self._is_ours(version, await self._card(client, version)):
                await client.unload(version.served_name)
        except ServingError as error:
            log.warning("%s does not unload %s: %s", client.base_url, version.served_name, error)

    def _is_ours(self, version: Version, card: ServedModel | None) -> bool:
        """Whether what vLLM lists is this adapter, loaded from this home."""
        ours = version.form == VersionForm.ADAPTER and Path(version.path).is_relative_to(self._home)
        return ours and card is not None and same_place(card.path, self._path(version))

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
        self._memory.checked.pop(pair, None)
        log.info("unloaded %s from %s", name, client.base_url)

    def _path(self, version: Version) -> str:
        """The artifact's folder as the replicas see it."""
        path = Path(version.path)
        if self._seen_at and path.is_relative_to(self._home):
            return f"{self._seen_at.rstrip('/')}/{path.relative_to(self._home).as_posix()}"
        return str(path)

    def _forget(self, url: str) -> None:
        self._memory.checked = {pair: at for pair, at in self._memory.checked.items() if pair[0] != url}
        self._memory.failures = Counter({pair: n for pair, n in self._memory.failures.items() if pair[0] != url})
        self._bases.forget(url)
