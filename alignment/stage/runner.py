"""How one stage runs: what is the same for all of them.

A stage is a function `train(spec, progress) -> metrics` that reads the folders its spec names and writes
into `spec.out`. Everything around that lives here: the numbered progress records, the manifest, `COMPLETE`.
Whether it runs in this process, as a child or under a launcher on another machine makes no difference, as long as it
is one process (`single_process`). What may not be done here: knowing a method or a training library.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import time
from collections.abc import Callable

from alignment.dataset.snapshot import verify_snapshot
from alignment.errors import SnapshotProblem, StageError
from alignment.files import lines_of
from alignment.records import StageMetrics, StepRecord
from alignment.stage.artifact import Manifest, finish, is_complete
from alignment.stage.checkpoints import PROGRESS, Checkpoint, clear, fetch, library_versions
from alignment.stage.continuing import check_continuing
from alignment.stage.sampler import Elsewhere
from alignment.stage.single_process import check_alone
from alignment.stage.spec import PROCESS, Progress, StageSpec

Train = Callable[..., StageMetrics]
"""A method's `train(spec, progress)`; one that samples also takes `sampler`."""

Outside = Callable[[StageSpec], Elsewhere]
"""Opens the sampler of a stage whose setting `rollouts_from` is not `process`."""


_CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES}


def run_stage(
    run: Train,
    spec: StageSpec,
    progress: Progress | None = None,
    *,
    outside: Outside | None = None,
) -> Manifest:
    """Run one stage, whose function is `run`, and seal what it made; one that died is continued.

    What is continued lies in this folder or in `spec.resume`.
    Writes `spec.json`, `progress.jsonl` (one record a line, numbered from 1), the stage's own files,
    `manifest.json` and last `COMPLETE` into `spec.out`; `progress` also gets every numbered record.
    `outside` opens vLLM for the stages that were told to sample from it (`rollouts_from`).
    Raises `StageError` with one sentence when the stage cannot run or went wrong; then there is no `COMPLETE`.
    """
    check_alone(spec.stage, os.environ)
    if is_complete(spec.out):
        raise StageError(f"{spec.out} already holds a finished artifact; every attempt needs a folder of its own.")
    if spec.data_hash:
        try:
            verify_snapshot(spec.data, spec.data_hash)
        except SnapshotProblem as error:
            raise StageError(str(error)) from error
    if spec.adapter is not None:
        check_continuing(spec.stage, spec.adapter, spec.settings, spec.model)
    try:
        spec.out.mkdir(parents=True, exist_ok=True)
        (spec.out / "spec.json").write_text(spec.to_json() + "\n", encoding="utf-8")
        started = time.perf_counter()
        checkpoint = fetch(spec)
        with _ProgressFile(spec, progress, checkpoint) as record:
            metrics = _with_rollouts(run, spec, outside)(spec, record)
        clear(spec.out)
        metrics["seconds"] = round(time.perf_counter() - started, 3)
        if checkpoint is not None:
            metrics["resumed_at"] = checkpoint.step
        return finish(spec.out, spec.to_record(), metrics, library_versions())
    except OSError as error:
        if error.errno not in _CANNOT_WRITE:
            raise
        raise StageError(
            f"{spec.stage} could not write to {spec.out}: {error.strerror}. Free some space and start again."
        ) from error


def rolls_out_elsewhere(spec: StageSpec) -> bool:
    """Whether the stage was told to sample from a model in another process."""
    return spec.settings.get("rollouts_from", PROCESS) != PROCESS


def _with_rollouts(
    run: Train, spec: StageSpec, outside: Outside | None
) -> Callable[[StageSpec, Progress], StageMetrics]:
    """The stage's function, with a sampler elsewhere where the spec asks for one."""
    if not rolls_out_elsewhere(spec):
        return run
    if outside is None:
        raise StageError(
            f"{spec.stage} was told to take its rollouts from vLLM and was handed none: start it with alignloop, as a "
            "round or with alignloop train, or set rollouts_from=process."
        )

    def sampling(spec: StageSpec, progress: Progress) -> StageMetrics:
        try:
            with contextlib.closing(outside(spec)) as sampler:
                return run(spec, progress, sampler=sampler)
        except ConnectionError as error:
            raise StageError(
                f"{spec.stage} could not take its rollouts from vLLM: {error}. "
                "Start it and correct vllm_url, or set rollouts_from=process."
            ) from error

    return sampling


class _ProgressFile:
    """Numbers records, appends them to `progress.jsonl` and refuses a loss that is not a number.

    After a checkpoint the numbers go on behind those of the records that were kept.
    """

    def __init__(self, spec: StageSpec, listener: Progress | None, checkpoint: Checkpoint | None) -> None:
        self._stage = spec.stage
        self._path = spec.out / PROGRESS
        self._listener = listener
        self._goes_on = checkpoint is not None
        self._number = 0

    def __enter__(self) -> _ProgressFile:
        if self._goes_on:
            self._number = len(lines_of(self._path.read_text(encoding="utf-8")))
        self._file = self._path.open("a" if self._goes_on else "w", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __call__(self, record: StepRecord) -> None:
        loss = record.get("loss")
        if isinstance(loss, float) and not math.isfinite(loss):
            raise StageError(
                f"{self._stage} ended at step {record.get('step', '?')} because its loss is {loss}. "
                "Use a smaller learning rate or look for broken rows in the dataset."
            )
        self._number += 1
        numbered: StepRecord = {"number": self._number, **record}
        self._file.write(json.dumps(numbered) + "\n")
        self._file.flush()
        if self._listener is not None:
            self._listener(numbered)
