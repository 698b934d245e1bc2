"""People are asked in the middle of a run: a milestone that a stage asks about is loaded, judged blind, and let go.

The stage asks through files (`people_channel`). A milestone becomes a version of its own kind, under a name that
its weights decide, so that a stage that was killed finds the votes which the same weights had before; it is loaded
as every version is (`reconcile`), never published, and while it waits Compare tasks show an answer of it beside one
of the version that training started from. Their votes are judgements like those on a challenger; no test of a
challenger counts them, because each vote names what it is about.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping
from pathlib import Path

from alignment.files import copy_whole, sha256_of
from alignment.methods.ppo.settings import WATCH_NEEDS
from alignment.methods.registry import chain_of, stage_settings
from alignment.stage.people_channel import Asked, Votes, answer, asked, forget
from alignment.stage.spec import StageSpec
from alignment.terms import Setting
from feedback_app.domain.versions import VersionForm, VersionKind, VersionState
from feedback_app.domain.votes import counting, tally
from feedback_app.errors import RoundFailed, Unavailable, UsageError
from feedback_app.loop.reconcile import Reconcile
from feedback_app.store.database import Store
from feedback_app.store.tables import Round, Version

log = logging.getLogger(__name__)

POLL_S = 0.5
LOAD_TIMEOUT_S = 60.0  # then it is tried again, as long as the stage waits
STAGE = "ppo"  # the stage that has a watch


def check_watch(settings: Mapping[str, Setting], method: str) -> None:
    """Refuse a watch that has nothing to judge. Raises `UsageError`."""
    own = _own(settings, method)
    if own.get("watch") and not own.get("milestones"):
        raise UsageError(f"{STAGE}'s {WATCH_NEEDS}.")


def check_served(settings: Mapping[str, Setting], method: str, *, paused: bool) -> None:
    """Refuse a watch while nothing answers people. Raises `RoundFailed`."""
    if paused and _own(settings, method).get("watch"):
        raise RoundFailed(
            "watch asks people while the policy is trained, and vLLM is stopped meanwhile (ALIGNLOOP_TRAIN_ON=pause): "
            "set ALIGNLOOP_TRAIN_ON=beside, or elsewhere with a launcher, or leave watch out."
        )


def asks_people(spec: StageSpec) -> bool:
    """Whether a stage was told to."""
    return bool(spec.settings.get("watch"))


class Watching:
    """The worker's side of one round's watch. `follow` runs beside the stage's process."""

    def __init__(
        self,
        store: Store,
        reconcile: Reconcile,
        round_: Round,
        start: Version,
        home: Path,
        *,
        scripted_count: bool,
        poll_s: float = POLL_S,
    ) -> None:
        """`start` is what training started from, `home` where versions' files lie for good."""
        self._store = store
        self._reconcile = reconcile
        self._round = round_
        self._start = start
        self._home = home
        self._scripted_count = scripted_count
        self.poll_s = poll_s
        self._question: Asked | None = None
        self._about: Version | None = None  # the milestone that the question is about
        self._told: Votes | None = None
        self._lock = threading.Lock()  # a thread that was left behind must not undo what `let_go` did
        self._watched: Version | None = None  # the milestone that Compare tasks show, or will once it is loaded

    async def follow(self, out: Path) -> None:
        """Have people judge whatever the stage that writes `out` asks about, until cancelled.

        An error is logged and the look taken again: the stage's own patience is the only limit.
        """
        try:
            while True:
                try:
                    await self.look(out)
                except Exception:
                    log.exception("people could not be asked about a milestone; it is tried again")
                await asyncio.sleep(self.poll_s)
        finally:
            # Not awaited: a cancelled task must not be asked to wait again before it ends.
            self.let_go()
            forget(out)

    async def look(self, out: Path) -> None:
        """Ask people where the stage asks, and give it their votes where there are enough."""
        question = await asyncio.to_thread(asked, out)
        if question is None or question != self._question:
            self._question, self._about, self._told = question, None, None
        if question is None:
            await asyncio.to_thread(self.let_go)
            return
        if self._about is None:
            self._about = await asyncio.to_thread(self._registered, question)
        about = self._about
        if self._watched is not None and self._watched.name != about.name:
            await asyncio.to_thread(self.let_go)
        votes = await asyncio.to_thread(self._votes, about.name, question.judgements)
        over = votes.judged < question.judgements and not await self._shown(about)
        if over and about.name not in self._reconcile.refused:
            return  # vLLM may come back before the stage's patience ends
        if over or votes != self._told:
            await asyncio.to_thread(answer, out, question, votes, over=over)
            self._told = votes

    async def _shown(self, milestone: Version) -> bool:
        """Whether Compare tasks show this milestone now, after seeing to it."""
        if self._watched is not None:
            return True
        self._watched = milestone
        await asyncio.to_thread(self._set_state, VersionState.LOADING)
        try:
            await self._reconcile.ensure(milestone, timeout_s=LOAD_TIMEOUT_S)
        except Unavailable as error:
            log.warning("nobody can be asked about %s: %s", milestone.name, error)
            await asyncio.to_thread(self.let_go)
            return False
        await asyncio.to_thread(self._set_state, VersionState.WATCHED)
        log.info("people are asked about %s", milestone.name)
        return True

    # In the store and on the disk: synchronous, called in a thread

    def _set_state(self, state: VersionState) -> None:
        with self._lock:
            if self._watched is not None:
                self._store.versions.set_state(self._watched.name, state)

    def let_go(self) -> None:
        """Nobody is asked about the milestone now; it is unloaded once no request can still need it."""
        with self._lock:
            if self._watched is not None:
                self._store.versions.set_state(self._watched.name, VersionState.DROPPED)
                self._watched = None

    def _votes(self, name: str, needed: int) -> Votes:
        """The first votes on a milestone, at most as many as are needed; "can't judge" is none."""
        votes = counting(self._store.judgements.votes(name), needed, scripted_count=self._scripted_count)
        counted = tally(votes, needed, scripted_count=True)
        return Votes(counted.score, counted.n, sum(vote.scripted for vote in votes))

    def _registered(self, question: Asked) -> Version:
        """The milestone as a version, its files copied to their lasting place; same weights, same version."""
        source = Path(question.adapter)
        weights = sha256_of(source / "adapter_model.safetensors")
        name = f"{VersionKind.MILESTONE}-{self._round.id:04d}-{question.step}-{weights[:6]}"
        known = self._store.versions.get(name)
        if known is not None:
            return known
        folder = (self._home / name).resolve()
        if not folder.exists():
            copy_whole(source, folder)
        return self._store.versions.add(
            Version(
                name=name,
                kind=VersionKind.MILESTONE,
                form=VersionForm.ADAPTER,
                path=str(folder),
                base_hash=self._start.base_hash,
                artifact_hash=weights,
                template_hash=self._start.template_hash,
                parent=self._start.name,
                round_id=self._round.id,
                state=VersionState.DROPPED,
                created_at=self._store.now(),
            )
        )


def _own(settings: Mapping[str, Setting], method: str) -> dict[str, Setting]:
    return dict(stage_settings(settings, method, STAGE)) if STAGE in chain_of(method) else {}
