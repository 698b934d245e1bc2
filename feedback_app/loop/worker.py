"""The worker: runs rounds, keeps vLLM as it should be, settles votes, starts scheduled rounds.

One event loop; the store and the sampler run in threads, training in child processes. Several workers may
run on one database: a round belongs to the one that holds its lease, and one that dies loses it. An error
in one duty is logged and that duty is done again at its next time; the others go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from feedback_app.domain.rounds import RoundStatus
from feedback_app.domain.versions import VersionState
from feedback_app.errors import AlignloopError, Unavailable
from feedback_app.heartbeat import VLLM, WORKER, Heart, last
from feedback_app.loop.evaluation import ScoringSampler
from feedback_app.loop.fallback import fall_back, target
from feedback_app.loop.reconcile import Reconcile
from feedback_app.loop.round_pipeline import run_round
from feedback_app.loop.round_steps import WorkerSteps
from feedback_app.loop.schedule import start_due
from feedback_app.loop.training import forget_checkpoints
from feedback_app.loop.versions import Facts, register_model
from feedback_app.loop.votes import settle
from feedback_app.settings import Settings
from feedback_app.store.database import Store
from feedback_app.store.tables import Round
from serving.errors import ServingError

if TYPE_CHECKING:
    from serving.client import VllmClient

log = logging.getLogger(__name__)

LEASE_S = 20.0
RENEW_S = 4.0
WATCH_S = 0.5  # how soon a cancelled round notices
RECONCILE_S = 2.0
SETTLE_S = 1.0
SCHEDULE_S = 5.0
CLAIM_S = 0.5


class LostLease(Exception):
    """Another worker has taken the round over; this one must not touch it any more."""


class ModelFacts(Facts, Protocol):
    """What the worker needs to know of the model besides its hashes."""

    @property
    def temperature(self) -> float | None:
        """The model's own recommendation, if any."""
        ...

    @property
    def max_len(self) -> int:
        """The model's window, tokens."""
        ...


class Worker:
    """Runs rounds. `run` works for ever; the duties can also be called one by one."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        replicas: Sequence[VllmClient],
        sampler: ScoringSampler,
        facts: ModelFacts,
        *,
        owner: str | None = None,
        next_name: Callable[[], str] | None = None,
    ) -> None:
        """`replicas` are the vLLMs that answer people, `sampler` asks one of them for evaluations."""
        self.store = store
        self.settings = settings
        self.facts = facts
        self.owner = owner or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self.reconcile = Reconcile(
            store,
            replicas,
            home=settings.versions_dir,
            seen_at=settings.vllm_adapters,
            request_deadline_s=settings.request_deadline_s,
            clock=store.now,
            engine=lambda: engine_of(store, settings),
            instead=partial(target, store),
        )
        self.steps = WorkerSteps(
            owner=self.owner,
            store=store,
            settings=settings,
            reconcile=self.reconcile,
            sampler=sampler,
            temperature=_temperature(settings, facts),
            max_tokens=min(settings.max_tokens, min(settings.context_tokens, facts.max_len) // 2),
            healthy=replicas[0].health,
            next_name=next_name,
        )
        self._working_on: int | None = None
        self.heart = Heart(
            store, WORKER, lambda: {**self.reconcile.state(), "owner": self.owner, "round": self._working_on}
        )

    async def run(self) -> None:
        """Do every duty until cancelled; a running child ends with it."""
        self.heart.start()
        try:
            await self.begin()
            async with asyncio.TaskGroup() as duties:
                duties.create_task(self._every(RECONCILE_S, self.look_after_vllm))
                duties.create_task(self._every(SETTLE_S, self.settle))
                duties.create_task(self._every(SCHEDULE_S, self._start_due))
                duties.create_task(self._every(CLAIM_S, self.run_next_round))
        finally:
            self.heart.end()

    async def begin(self) -> None:
        """Register the model we serve; `policy` means something from here on."""
        await asyncio.to_thread(register_model, self.store, self.settings.model_source, self.facts)

    async def look_after_vllm(self) -> None:
        """Load, unload, fall back from what cannot be served, and tell everyone at once."""
        await self.reconcile.once()
        if self.reconcile.refused:
            await asyncio.to_thread(self._fall_back)
        await asyncio.to_thread(self.heart.beat)

    async def settle(self) -> Round | None:
        """Apply the votes on the challenger; the round when something changed."""
        return await asyncio.to_thread(self._settle)

    async def run_next_round(self) -> Round | None:
        """Claim the waiting round and run it to its end; None when there is none.

        Never raises for what goes wrong within the round: that is the round's reason.
        """
        round_ = await asyncio.to_thread(self.store.rounds.claim, self.owner, LEASE_S)
        if round_ is None:
            return None
        assert round_.id is not None
        self._working_on = round_.id
        log.info("round %s (%s) begins", round_.id, round_.method)
        try:
            await self._run(round_, round_.id)
        except LostLease:
            log.warning("round %s was taken over by another worker", round_.id)
        except asyncio.CancelledError:
            with contextlib.suppress(AlignloopError):  # the next worker need not wait for the lease to run out
                self.store.rounds.update(round_.id, owner=self.owner, lease_until=None)
            raise
        finally:
            self._working_on = None
        return await asyncio.to_thread(self.store.rounds.get, round_.id)

    async def _run(self, round_: Round, round_id: int) -> None:
        if round_.incumbent is None:
            published = await asyncio.to_thread(self.store.versions.published)
            incumbent = published.version if published is not None else None
            round_ = await asyncio.to_thread(self.store.rounds.update, round_id, incumbent=incumbent)
        taking = asyncio.create_task(run_round(round_, self.steps))
        watching = asyncio.create_task(self._watch(round_id))
        try:
            await asyncio.wait({taking, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not taking.done():
                taking.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await taking
                watching.result()  # raises LostLease
                await self._end(round_id, RoundStatus.CANCELLED, "Cancelled by an operator.")
                return
        finally:
            # Also when the worker itself is stopped: the child must be gone before we are.
            for task in (taking, watching):
                task.cancel()
            await asyncio.gather(taking, watching, return_exceptions=True)
        try:
            taking.result()
        except (AlignloopError, ServingError) as error:
            await self._end(round_id, RoundStatus.FAILED, str(error))
        except Exception as error:
            log.exception("round %s failed", round_id)
            await self._end(
                round_id,
                RoundStatus.FAILED,
                f"An unexpected error ended the round ({type(error).__name__}: {error}). "
                "Serving is unchanged; the worker's log has the details.",
            )

    async def _watch(self, round_id: int) -> None:
        """Renew the lease; return when the round shall be cancelled. Raises `LostLease`."""
        renewed = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(WATCH_S)
            try:
                round_ = await asyncio.to_thread(self.store.rounds.get, round_id)
                if round_ is not None and round_.cancel_requested and round_.status == RoundStatus.RUNNING:
                    return
                if asyncio.get_running_loop().time() - renewed >= RENEW_S:
                    held = await asyncio.to_thread(self.store.rounds.renew, round_id, self.owner, LEASE_S)
                    round_ = await asyncio.to_thread(self.store.rounds.get, round_id)
                    if not held and round_ is not None and round_.status == RoundStatus.RUNNING:
                        raise LostLease
                    renewed = asyncio.get_running_loop().time()
            except Unavailable as error:
                # Nobody can claim the round while the database is away, and afterwards the lease is looked at first.
                log.warning("round %s goes on without its lease being renewed: %s", round_id, error)

    async def _end(self, round_id: int, status: RoundStatus, reason: str) -> None:
        await asyncio.to_thread(self._end_now, round_id, status, reason)

    def _end_now(self, round_id: int, status: RoundStatus, reason: str) -> None:
        round_ = self.store.rounds.get(round_id)
        if round_ is None or round_.status != RoundStatus.RUNNING or round_.lease_owner != self.owner:
            return
        if round_.version is not None:
            self.store.versions.set_state(round_.version, VersionState.DROPPED)  # nobody has examined it to the end
        self.store.rounds.update(round_id, status=status, reasons=[reason])
        forget_checkpoints(self.store, round_id)
        log.warning("round %s %s: %s", round_id, status, reason)

    def _fall_back(self) -> None:
        publication = fall_back(self.store, self.reconcile.refused, self.reconcile.loaded)
        if publication is not None:
            log.error("`policy` fell back on %s: %s", publication.version, publication.note)

    def _settle(self) -> Round | None:
        challenger = self.store.versions.challenger()
        if challenger is None:
            return None
        staged = challenger.name in self.reconcile.loaded
        round_ = settle(self.store, needed=self.settings.votes, promote=self.settings.promote, staged=staged)
        if round_ is not None and round_.status != RoundStatus.HELD:
            log.info("round %s %s: %s", round_.id, round_.status, round_.reasons[0] if round_.reasons else "")
        return round_

    async def _start_due(self) -> None:
        await asyncio.to_thread(start_due, self.store)

    async def _every(self, seconds: float, duty: Callable[[], Awaitable[Any]]) -> None:
        while True:
            try:
                await duty()
            except Exception:
                log.exception("%s failed and is tried again", getattr(duty, "__name__", duty))
            await asyncio.sleep(seconds)


def engine_of(store: Store, settings: Settings) -> str:
    """What our own vLLM computes with, as its supervisor says (`running`); empty for one that runs elsewhere."""
    if settings.vllm_url:
        return ""
    own = last(store, VLLM)
    return str(own.state.get("engine", "")) if own is not None else ""


def _temperature(settings: Settings, facts: ModelFacts) -> float:
    if settings.temperature is not None:
        return settings.temperature
    return facts.temperature if facts.temperature is not None else 1.0
