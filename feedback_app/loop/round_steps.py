"""The steps of `round_pipeline`, made of the real parts: store, training children, vLLM, gate."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from alignment.dataset.compile.personal import Handling
from alignment.evaluation.gate import Verdict, guard_verdict
from alignment.evaluation.guards import Evidence
from alignment.methods.registry import chain_of
from alignment.records import StepRecord
from alignment.stage.artifact import is_complete, read_manifest
from alignment.stage.sampler import Sampling
from feedback_app.domain.reports import Evaluation, RoundRows, StartedFrom
from feedback_app.domain.rounds import AttemptStatus, RoundStatus, StageStatus
from feedback_app.domain.versions import VersionState
from feedback_app.errors import AlignloopError, Conflict, RoundFailed, Unavailable
from feedback_app.loop import pause
from feedback_app.loop.evaluation import (
    Interruptible,
    ScoringSampler,
    chosen_questions,
    evaluation_prompts,
    gather,
    held_out_texts,
)
from feedback_app.loop.evaluation_cache import KnownLosses, KnownRights
from feedback_app.loop.evaluation_suites import Asking, with_suites
from feedback_app.loop.integrity import Files
from feedback_app.loop.left_out import with_left_out
from feedback_app.loop.milestone_votes import Watching, check_served
from feedback_app.loop.reconcile import Reconcile
from feedback_app.loop.snapshot_round import freeze
from feedback_app.loop.start_version import check_round, continues, start_of
from feedback_app.loop.suites import Suites
from feedback_app.loop.training import Training, artifacts, checked
from feedback_app.loop.versions import base_of, register_artifact
from feedback_app.loop.votes import challenge
from feedback_app.prompt_sets import PromptSet, named_set, prompt_set
from feedback_app.settings import Settings, TrainOn
from feedback_app.store.database import Store
from feedback_app.store.tables import Round, Snapshot, Version
from serving.errors import ServingError

log = logging.getLogger(__name__)

STAGE_TIMEOUT_S = 600.0  # vLLM may just be starting, or starting again
ASK_AGAIN = 3  # times that an evaluation is begun when vLLM goes away in the middle


@dataclass(frozen=True)
class WorkerSteps:
    """`RoundSteps` as a worker takes them, built once for all rounds. `owner` is its name on the leases."""

    owner: str
    store: Store
    settings: Settings
    reconcile: Reconcile
    sampler: ScoringSampler
    temperature: float
    max_tokens: int
    healthy: Callable[[], Awaitable[bool]]
    next_name: Callable[[], str] | None = None

    @property
    def home(self) -> Path:
        """Runtime state."""
        return self.settings.home

    def chain(self, method: str) -> tuple[str, ...]:
        """The training stages of a method, in their order."""
        return chain_of(method)

    def gate(self, evidence: Evidence) -> Verdict:
        """What follows from the evidence: guards only, people vote later."""
        return guard_verdict(evidence)

    async def snapshot(self, round_: Round) -> Snapshot:
        """Freeze what was collected. A watch that nobody could answer is refused here, before anything is trained."""
        check_served(round_.settings, round_.method, paused=self.settings.train_on is TrainOn.PAUSE)
        personal = Handling(self.settings.personal_data.value)
        signals = self.settings.kept_signals
        return await asyncio.to_thread(freeze, self.store, round_, self.home, personal=personal, signals=signals)

    async def train(self, round_: Round, stage_name: str, snapshot: Snapshot) -> Path:
        """Run one training stage where the settings say."""
        assert round_.id is not None
        incumbent = await asyncio.to_thread(self._start_of, round_)
        training = Training(
            self.store,
            self.home,
            launcher=self.settings.train_launcher if self.settings.train_on is TrainOn.ELSEWHERE else "",
            model=self.settings.model_source,
            data=self.settings.data,
            prompts=(await asyncio.to_thread(self._prompts, round_)).train,
            vllm="" if self.settings.train_on is TrainOn.PAUSE else self.settings.vllm_address,
            watching=await asyncio.to_thread(self._watching, round_, incumbent),
        )
        paused = pause.paused(self.store, self.healthy, round_id=round_.id)
        async with paused if self.settings.train_on is TrainOn.PAUSE else contextlib.nullcontext():
            artifact = await training.run(round_, stage_name, snapshot, incumbent)
        await asyncio.to_thread(self._count_left_out, round_, artifact)
        return artifact

    async def register(self, round_: Round, artifact: Path) -> Version:
        """Give the artifact a name and a lasting place."""
        return await asyncio.to_thread(self._register, round_, artifact)

    async def stage(self, version: Version) -> None:
        """Have every replica answer for the version."""
        await self.reconcile.ensure(version, timeout_s=STAGE_TIMEOUT_S)

    async def evaluate(self, round_: Round, version: Version) -> Evidence:
        """Ask, sample, measure; once more from the start when vLLM goes away meanwhile."""
        await self.stage(await asyncio.to_thread(self._incumbent, round_))  # what it is compared with, too
        for further in reversed(range(ASK_AGAIN)):
            stop = threading.Event()
            try:
                evidence = await asyncio.to_thread(self._gather, round_, version, stop)
                break
            except ServingError as error:  # gone, or back again without the adapters it had
                if not further:
                    raise Unavailable(f"vLLM went away during the evaluation: {error}") from error
                log.warning("vLLM went away during the evaluation: %s", error)
                await self.stage(version)
                await self.stage(await asyncio.to_thread(self._incumbent, round_))
            finally:
                stop.set()  # when this task is cancelled, the thread ends at its next look
        await asyncio.to_thread(self._keep, round_, evidence)
        return evidence

    async def challenge(self, round_: Round, version: Version, verdict: Verdict) -> None:
        """Make the version the challenger: people decide, in blind votes."""
        kept = await asyncio.to_thread(self._mine, round_)
        await asyncio.to_thread(challenge, self.store, kept, version, verdict.reasons, self.settings.votes)

    async def hold(self, round_: Round, version: Version, verdict: Verdict) -> None:
        """Keep the version for an operator to decide."""
        await asyncio.to_thread(self._end, round_, version, RoundStatus.HELD, verdict, VersionState.READY)

    async def reject(self, round_: Round, version: Version, verdict: Verdict) -> None:
        """Drop the version."""
        await asyncio.to_thread(self._end, round_, version, RoundStatus.REJECTED, verdict, VersionState.DROPPED)

    @contextlib.asynccontextmanager
    async def recorded(self, round_: Round, name: str) -> AsyncIterator[None]:
        """A stage's row around a step: running, then done, failed or cancelled."""
        assert round_.id is not None
        stage = await asyncio.to_thread(self.store.rounds.begin_stage, round_.id, name)
        assert stage.id is not None
        try:
            yield
        except asyncio.CancelledError:
            with contextlib.suppress(Conflict):  # not when another worker has taken it over
                self._mine(round_)
                self.store.rounds.finish_stage(stage.id, StageStatus.CANCELLED)
            raise
        except Exception as error:
            await asyncio.to_thread(self.store.rounds.finish_stage, stage.id, StageStatus.FAILED, str(error))
            raise
        await asyncio.to_thread(self._finish, round_, name, stage.id)

    # In the store: synchronous, called in a thread

    def _mine(self, round_: Round) -> Round:
        """The round as it is now. Raises `Conflict` when its lease ran out and another worker took it."""
        assert round_.id is not None
        kept = self.store.rounds.get(round_.id)
        if kept is None or kept.lease_owner != self.owner:
            raise Conflict(f"Round {round_.id} now belongs to another worker.")
        return kept

    def _count_left_out(self, round_: Round, artifact: Path) -> None:
        rows = with_left_out(cast(RoundRows, self._mine(round_).rows or {}), read_manifest(artifact).metrics)
        self.store.rounds.update(round_.id or 0, rows=rows)

    def _incumbent(self, round_: Round) -> Version:
        version = self.store.versions.get(round_.incumbent) if round_.incumbent else None
        if version is None:
            raise RoundFailed(
                "No version is served yet, so there is nothing to improve on. Wait for the model to load."
            )
        return version

    def _start_of(self, round_: Round) -> Version:
        """The incumbent, after a look at whether the round may continue from it.

        Somebody may have withdrawn since, or its files may have been changed.
        """
        incumbent = self._incumbent(round_)
        check_round(self.store, round_.method, round_.settings, incumbent)
        if continues(round_.settings, incumbent) and (wrong := Files().problem(incumbent)):
            raise RoundFailed(f"{incumbent.name} cannot be continued: {wrong} Start from the base instead.")
        return incumbent

    def _watching(self, round_: Round, incumbent: Version) -> Watching:
        return Watching(
            self.store,
            self.reconcile,
            round_,
            incumbent if continues(round_.settings, incumbent) else base_of(self.store, incumbent.base_hash),
            self.settings.versions_dir,
            scripted_count=self.settings.promote.counts_scripted,
        )

    def _register(self, round_: Round, artifact: Path) -> Version:
        assert round_.id is not None
        self._mine(round_)
        incumbent = self._incumbent(round_)
        base = base_of(self.store, incumbent.base_hash)
        parent = incumbent if continues(round_.settings, incumbent) else base
        version = register_artifact(
            self.store,
            round_,
            artifact,
            artifact_hash=checked(artifact),
            base=base,
            parent=parent.name,
            home=self.settings.versions_dir,
            next_name=self.next_name,
        )
        checked(Path(version.path))
        metrics = read_manifest(Path(version.path)).metrics
        chain = {
            name: read_manifest(folder).metrics
            for name, folder in artifacts(self.store, round_.id).items()
            if is_complete(folder)
        }
        started: StartedFrom = {"start": start_of(round_.settings), "version": parent.name}
        prompts = self._prompts(round_).record()
        evaluation: Evaluation = {"training": metrics, "chain": chain, "started_from": started, "prompts": prompts}
        self.store.rounds.update(round_.id, version=version.name, evaluation=evaluation)
        return version

    def _prompts(self, round_: Round) -> PromptSet:
        """The prompts that are in use; once the round's version is registered, those that the round recorded.

        Raises `RoundFailed` on ones that cannot be read, or are not there any more.
        """
        recorded = (self._mine(round_).evaluation or {}).get("prompts")
        try:
            return named_set(self.settings, recorded["set"]) if recorded else prompt_set(self.settings)
        except AlignloopError as error:
            raise RoundFailed(str(error)) from error

    def _gather(self, round_: Round, version: Version, stop: threading.Event) -> Evidence:
        data = self.settings.data
        incumbent, base = self._incumbent(round_), base_of(self.store, version.base_hash)
        suites = Suites(self.settings)
        asked, tiny = suites.asked(), suites.asks_tiny
        questions = chosen_questions(data / "questions", self.settings.capability_questions) if tiny else ()
        prompts = evaluation_prompts(
            self._prompts(round_).evaluation(), self.settings.evaluation_prompts, self.settings.system_prompt
        )
        texts = held_out_texts(data / "texts" / "held_out.jsonl")
        sampler = Interruptible(self.sampler, stop)
        asking = Asking(
            self.home / "capability", self.max_tokens, self.settings.evaluation_minutes, step=self._telling(round_)
        )
        evidence = gather(
            sampler,
            version,
            incumbent,
            base,
            questions,
            prompts,
            Sampling(self.temperature, self.max_tokens, seed=round_.seed),
            KnownRights(self.home / "capability", questions, self.max_tokens),
            texts,
            KnownLosses(self.home / "capability", texts),
            sampling_s=None if self.settings.embedded else asking.sampling_s,
        )
        if tiny and not asked:
            return evidence
        return with_suites(evidence, sampler, version, incumbent, base, asked, asking)

    def _telling(self, round_: Round) -> Callable[[int, int, float], None]:
        """Keeps how far the asking is, as the progress of an attempt of the stage's own, begun with the first word."""
        assert round_.id is not None
        stage = next((each for each in self.store.rounds.stages(round_.id) if each.name == "evaluate"), None)
        numbers, attempts = itertools.count(1), list[int]()

        def tell(done: int, of: int, left: float) -> None:
            if stage is None or stage.id is None:
                return
            if not attempts:
                folder = self.home / "rounds" / f"{round_.id or 0:04d}" / stage.name
                attempts.append(self.store.rounds.add_attempt(stage.id, str(folder)).id or 0)
            record: StepRecord = {"number": next(numbers), "step": done, "steps": of, "seconds_left": round(left, 1)}
            self.store.rounds.add_progress(attempts[0], record["number"], record)

        return tell

    def _keep(self, round_: Round, evidence: Evidence) -> None:
        assert round_.id is not None
        before = dict(self._mine(round_).evaluation or {})
        evaluation = {**before, **_plain(evidence.to_record())}
        self.store.rounds.update(round_.id, evaluation=evaluation, samples=list(evidence.samples))

    def _end(self, round_: Round, version: Version, status: RoundStatus, verdict: Verdict, state: VersionState) -> None:
        assert round_.id is not None
        self._mine(round_)
        self.store.versions.set_state(version.name, state)
        self.store.rounds.update(
            round_.id, status=status, verdict=str(verdict.kind), version=version.name, reasons=list(verdict.reasons)
        )

    def _finish(self, round_: Round, name: str, stage_id: int) -> None:
        attempts = self.store.rounds.attempts(stage_id)
        for attempt in attempts:
            if attempt.status == AttemptStatus.RUNNING and attempt.id is not None:
                # An evaluation's: it only said how far it was. One that is done has an artifact.
                self.store.rounds.update_attempt(attempt.id, status=AttemptStatus.ABANDONED)
        done = [attempt.id for attempt in attempts if attempt.status == AttemptStatus.DONE]
        self.store.rounds.finish_stage(stage_id, StageStatus.DONE, attempt=done[-1] if done else None)


def _plain(value: Any) -> Any:
    """JSON that every database takes: tuples as lists, and a number that is none as null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
