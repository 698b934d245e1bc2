"""A round as JSON: what `round show`, `round start --wait` and the operator's page say about it."""

from __future__ import annotations

from typing import cast

from alignment.methods.registry import CARDS
from alignment.records import StageMetrics
from feedback_app.domain.reports import Evaluation, RoundReport, RoundRows, StageReport
from feedback_app.domain.rounds import StageStatus
from feedback_app.loop.history import figures
from feedback_app.loop.start_version import start_of
from feedback_app.store.database import Store
from feedback_app.store.tables import Round, Stage

SAMPLED = ("capability", "sampling")  # the parts of an evaluation that are waiting for answers


def round_report(store: Store, round_: Round) -> RoundReport:
    """One round.

    `start_from` is base or incumbent: what its training was asked to start from; `evaluation.started_from.version`
    names the version that it then was. `waiting` says in words which people's judgements a running stage waits for;
    what a watch saw stands in `evaluation.training.watch`. `figures` are what it gained and what that cost (`history`).
    `rows.left_out` counts by reason what its stages could not use; `rows.left_out_rows` names the judgements behind it.
    `stages` hold `name`, `status` and `seconds`; `seconds` splits the whole into `training` (the optimiser's steps),
    `sampling` (answers for the evaluation), `waiting` (for people's judgements in the middle of a training) and `rest`
    (everything else).
    """
    assert round_.id is not None
    stages = store.rounds.stages(round_.id)
    return {
        "round": round_.id,
        "method": round_.method,
        "status": round_.status,
        "verdict": round_.verdict,
        "reasons": list(round_.reasons or []),
        "version": round_.version,
        "incumbent": round_.incumbent,
        "start_from": start_of(round_.settings),
        "waiting": _waiting(store, stages),
        "stages": [_stage(stage, store.now()) for stage in stages],
        "seconds": _seconds(round_, stages, store.now()),
        "rows": cast(RoundRows, dict(round_.rows or {})),
        "evaluation": cast(Evaluation, dict(round_.evaluation or {})),
        "figures": figures(round_),
        "samples": list(round_.samples or []),
        "seed": round_.seed,
        "settings": dict(round_.settings or {}),
        "snapshot": round_.snapshot_id,
        "watermark": round_.watermark,
        "created_at": round_.created_at,
        "finished_at": round_.finished_at,
    }


def _waiting(store: Store, stages: list[Stage]) -> str:
    running = next((stage for stage in stages if stage.status == StageStatus.RUNNING), None)
    records = store.rounds.progress(stage_id=running.id) if running is not None else []
    return str(records[-1].record.get("waiting") or "") if records else ""


def _stage(stage: Stage, now: float) -> StageReport:
    report: StageReport = {"name": stage.name, "status": stage.status, "seconds": round(_length(stage, now), 3)}
    if stage.error:
        report["error"] = stage.error
    return report


def _length(stage: Stage, now: float) -> float:
    return (stage.finished_at or now) - stage.started_at if stage.started_at is not None else 0.0


def _seconds(round_: Round, stages: list[Stage], now: float) -> dict[str, float]:
    total = sum(_length(stage, now) for stage in stages)
    evaluation = cast(Evaluation, round_.evaluation or {})
    measured = evaluation.get("seconds") or {}
    sampling = sum(float(measured.get(part, 0.0)) for part in SAMPLED)
    chain = evaluation.get("chain") or {"": evaluation.get("training") or StageMetrics()}
    # The optimisers' own time: starting the process and loading libraries and the model are not training.
    trainer = sum(float(made.get("seconds_training") or made.get("seconds") or 0.0) for made in chain.values())
    waited = sum(float(made.get("seconds_waiting") or 0.0) for made in chain.values())
    if not trainer:  # not known (yet): the whole stage then counts as training
        trainer = sum(_length(stage, now) for stage in stages if stage.name in CARDS)
    return {
        "training": round(trainer, 3),
        "sampling": round(sampling, 3),
        "waiting": round(waited, 3),
        "rest": round(max(0.0, total - trainer - sampling - waited), 3),
        "total": round(total, 3),
    }
