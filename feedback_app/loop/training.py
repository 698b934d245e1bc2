"""One training stage of a round: attempts, each a child process with a folder of its own.

A complete attempt that an earlier worker did not live to record is adopted. One that died in the middle is
continued by the next attempt, in a folder of its own, from its last checkpoint: when its worker died or was
stopped, and twice when its process alone was killed. The child gets files only (`alignment.stage.spec`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shlex
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from alignment.errors import ArtifactProblem
from alignment.methods.registry import CARDS, stage_settings
from alignment.records import StepRecord
from alignment.stage.artifact import is_complete, verify
from alignment.stage.checkpoints import clear, holds_one
from alignment.stage.runner import rolls_out_elsewhere
from alignment.stage.spec import VLLM, Setting, StageSpec
from feedback_app.domain.rounds import AttemptStatus
from feedback_app.errors import RoundFailed, StageKilled, Unavailable
from feedback_app.loop.child import clear_left_over, run_child
from feedback_app.loop.milestone_votes import Watching, asks_people
from feedback_app.loop.rules import CONTRADICTIONS
from feedback_app.loop.start_version import START, continues
from feedback_app.store.database import Store
from feedback_app.store.tables import Round, Snapshot, Version
from serving.errors import ServingError
from serving.rollouts import forget

log = logging.getLogger(__name__)

AGAIN = 2  # attempts after the first, when the stage's process is killed and has left a checkpoint
ROUND_SETTINGS = (START, CONTRADICTIONS)  # the round's, and no stage's


def stage_command(spec: StageSpec, launcher: str = "") -> list[str]:
    """The child's command; `launcher` (as on a command line) goes in front of it."""
    module = "feedback_app.loop.stage_with_vllm" if rolls_out_elsewhere(spec) else "alignment.run"
    return [*shlex.split(launcher), sys.executable, "-m", module, str(spec.out / "spec.json")]


class Training:
    """Runs training stages for the rounds of one store."""

    def __init__(
        self,
        store: Store,
        home: Path,
        *,
        launcher: str = "",
        model: str,
        data: Path | None = None,
        prompts: Path | None = None,
        vllm: str = "",
        watching: Watching | None = None,
    ) -> None:
        """`home` is where attempts' folders go, `model` the base model's folder or hub name.

        `data` is the folder of what ships, of which `constitution` takes its principles; `prompts` is a file that
        stages which answer prompts themselves take beside the snapshot's. `vllm` is the address of one that a policy in
        training may be sampled from; empty when there is none meanwhile. `watching` has people judge milestones.
        """
        self._watching = watching
        self._vllm = vllm
        self._store = store
        self._data = data
        self._prompts = prompts
        self._home = home.resolve()
        self._launcher = launcher
        self._model = model

    async def run(self, round_: Round, stage_name: str, snapshot: Snapshot, incumbent: Version) -> Path:
        """The folder of a verified, complete artifact. Raises `RoundFailed` with the reason there is none."""
        assert round_.id is not None
        stage = await asyncio.to_thread(self._store.rounds.begin_stage, round_.id, stage_name)
        assert stage.id is not None
        adopted = await asyncio.to_thread(self._adopt, stage.id)
        if adopted is not None:
            return adopted
        for further in reversed(range(1 + AGAIN)):
            await self._forget_rollouts(stage.id)
            folder = await asyncio.to_thread(self._folder, round_.id, stage_name, stage.id)
            spec = self._spec(round_, stage_name, snapshot, incumbent, folder)
            spec = replace(spec, resume=await asyncio.to_thread(self._unfinished, stage.id))
            try:
                await self._attempt(stage.id, spec)
                break
            except StageKilled as error:
                if not further or not await asyncio.to_thread(holds_one, folder):
                    raise
                log.warning("%s goes on from its last checkpoint: %s", stage_name, error)
        await asyncio.to_thread(forget_checkpoints, self._store, round_.id)
        return folder

    async def _forget_rollouts(self, stage_id: int) -> None:
        """Have vLLM forget the policies of attempts that died; those of others unload their own."""
        attempts = await asyncio.to_thread(self._store.rounds.attempts, stage_id)
        left = [Path(attempt.folder) for attempt in attempts if _rolled_out(Path(attempt.folder))]
        if not self._vllm or not left:
            return
        try:
            await forget(self._vllm, left)
        except ServingError as error:
            log.warning("what earlier attempts left in vLLM stays there: %s", error)

    async def _attempt(self, stage_id: int, spec: StageSpec) -> None:
        folder = spec.out
        attempt = await asyncio.to_thread(self._store.rounds.add_attempt, stage_id, str(folder))
        assert attempt.id is not None
        attempt_id = attempt.id
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "spec.json").write_text(spec.to_json() + "\n", encoding="utf-8")
        except OSError as error:
            raise RoundFailed(f"{folder} cannot be written: {error.strerror or error}. Free some space.") from error

        async def started(pid: int) -> None:
            await asyncio.to_thread(self._store.rounds.update_attempt, attempt_id, pid=pid)

        waiting: list[StepRecord] = []

        async def progress(records: list[StepRecord]) -> None:
            """A database that is away for a moment does not end a training: what it missed is kept for later."""
            waiting.extend(records)
            try:
                await asyncio.to_thread(self._keep, attempt_id, waiting)
            except Unavailable as error:
                log.warning("progress waits for the database: %s", error)

        try:
            command = stage_command(spec, self._launcher)
            async with self._watched(spec):
                await run_child(command, folder, progress, on_start=started)
            await asyncio.to_thread(checked, folder)
        except BaseException:
            # Not awaited: a cancelled task must not be asked to wait again before it ends.
            self._store.rounds.update_attempt(attempt_id, status=AttemptStatus.FAILED)
            raise
        await asyncio.to_thread(self._store.rounds.update_attempt, attempt_id, status=AttemptStatus.DONE)

    @contextlib.asynccontextmanager
    async def _watched(self, spec: StageSpec) -> AsyncIterator[None]:
        """While the stage runs, people judge what it asks about."""
        if self._watching is None or not asks_people(spec):
            yield
            return
        asking = asyncio.create_task(self._watching.follow(spec.out))
        try:
            yield
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    def _unfinished(self, stage_id: int) -> Path | None:
        """The newest attempt's folder that holds a checkpoint to go on from."""
        folders = [Path(attempt.folder) for attempt in self._store.rounds.attempts(stage_id)]
        return next((folder for folder in reversed(folders) if holds_one(folder)), None)

    def _adopt(self, stage_id: int) -> Path | None:
        """The newest attempt that is complete, whoever ran it; groups of incomplete ones are cleared."""
        for attempt in reversed(self._store.rounds.attempts(stage_id)):
            folder = Path(attempt.folder)
            assert attempt.id is not None
            if is_complete(folder):
                try:
                    verify(folder)
                except ArtifactProblem:
                    continue
                if attempt.status != AttemptStatus.DONE:
                    self._store.rounds.update_attempt(attempt.id, status=AttemptStatus.DONE)
                return folder
            if attempt.status == AttemptStatus.RUNNING:
                clear_left_over(attempt.pid, folder)
                self._store.rounds.update_attempt(attempt.id, status=AttemptStatus.ABANDONED)
        return None

    def _folder(self, round_id: int, stage_name: str, stage_id: int) -> Path:
        number = 1 + len(self._store.rounds.attempts(stage_id))
        parent = self._home / "rounds" / f"{round_id:04d}"
        while (parent / f"{stage_name}-{number}").exists():
            number += 1
        return parent / f"{stage_name}-{number}"

    def _spec(self, round_: Round, stage_name: str, snapshot: Snapshot, incumbent: Version, folder: Path) -> StageSpec:
        asked = {name: value for name, value in round_.settings.items() if name not in ROUND_SETTINGS}
        settings: dict[str, Setting] = stage_settings(asked, round_.method, stage_name)
        if self._prompts is not None and CARDS[stage_name].samples:
            settings.setdefault("prompts", str(self._prompts.resolve()))
        if self._data is not None and stage_name == "constitution":
            settings.setdefault("principles", str((self._data / "principles.txt").resolve()))
        if settings.get("rollouts_from") == VLLM:
            if not self._vllm:
                raise RoundFailed(
                    f"{stage_name} cannot take its rollouts from vLLM, which is stopped while training runs "
                    "(ALIGNLOOP_TRAIN_ON=pause): set rollouts_from=process."
                )
            settings.setdefault("vllm_url", self._vllm)
        go_on = continues(round_.settings, incumbent) and CARDS[stage_name].continues
        assert round_.id is not None
        made = artifacts(self._store, round_.id)
        rows = made.get("constitution") if stage_name != "constitution" else None
        return StageSpec(
            stage=stage_name,
            data=rows or Path(snapshot.folder),
            model=self._model,
            out=folder,
            settings=settings,
            seed=round_.seed,
            adapter=Path(incumbent.path) if go_on else None,
            data_hash="" if rows else snapshot.hash,  # an artifact is verified as one, not as a snapshot
            reward=made.get("reward"),
        )

    def _keep(self, attempt_id: int, records: list[StepRecord]) -> None:
        """Write the records, which are taken off the list one by one."""
        while records:
            self._store.rounds.add_progress(attempt_id, int(records[0]["number"]), records[0])
            del records[0]


def _rolled_out(folder: Path) -> bool:
    """Whether an attempt sampled through vLLM."""
    try:
        return rolls_out_elsewhere(StageSpec.from_json((folder / "spec.json").read_text(encoding="utf-8")))
    except (OSError, KeyError, ValueError):
        return False


def forget_checkpoints(store: Store, round_id: int) -> None:
    """Remove what attempts of a round left to go on from: the stage is done, or the round is over."""
    for stage in store.rounds.stages(round_id):
        assert stage.id is not None
        for attempt in store.rounds.attempts(stage.id):
            clear(Path(attempt.folder))


def artifacts(store: Store, round_id: int) -> dict[str, Path]:
    """The folders of a round's training stages that are complete, in the order they were made."""
    found: dict[str, Path] = {}
    for stage in store.rounds.stages(round_id):
        assert stage.id is not None
        done = [attempt for attempt in store.rounds.attempts(stage.id) if attempt.status == AttemptStatus.DONE]
        if done:
            found[stage.name] = Path(done[-1].folder)
    return found


def checked(folder: Path) -> str:
    """The artifact's hash, after its files were compared with its manifest. Raises `RoundFailed`."""
    try:
        return verify(folder).hash
    except ArtifactProblem as error:
        raise RoundFailed(f"Training left no usable artifact: {error}") from error
