"""Judgements up to a moment, compiled to rows and frozen in a folder: a round's dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from alignment.compile import Compiled, compile_rows
from alignment.compile.personal import Handling, Tally, handled
from alignment.errors import SnapshotProblem
from alignment.judgement import Judgement
from alignment.needs import lacking
from alignment.snapshot import write_snapshot
from feedback_app.errors import RoundFailed
from feedback_app.store.database import Store
from feedback_app.store.tables import Round, Snapshot, new_id


def freeze(
    store: Store,
    turn: Round,
    home: Path,
    *,
    personal: Handling = Handling.FLAG,
    new_name: Callable[[], str] = new_id,
) -> Snapshot:
    """The round's snapshot: the one it has, or a new one of every judgement there is now.

    Personal data and secrets are counted in the manifest, and with `personal` replace, replaced in rows and judgements.
    Raises `RoundFailed` with both numbers when there is too little for its method to train on, and when the disk
    does not take it. A folder that a crash left half-written is never named by anything.
    """
    assert turn.id is not None
    if turn.snapshot_id is not None:
        kept = store.rounds.snapshot(turn.snapshot_id)
        if kept is not None:
            return kept
    watermark = store.judgements.watermark()
    # Set even when the round fails below, so that a schedule waits for new judgements and not for ever the same.
    store.rounds.update(turn.id, watermark=watermark)
    compiled = handled_rows(compile_rows(store.judgements.export(watermark), seed=turn.seed), personal)
    rows = summary(compiled.counts)
    store.rounds.update(turn.id, rows=rows)
    likes = sum(row.label for row in compiled.marks if row.split == "train")
    missing = lacking(turn.method, compiled.counts, likes, turn.settings)
    if missing:
        raise RoundFailed(missing)
    folder = (home / "snapshots" / new_name()).resolve()
    try:
        manifest = write_snapshot(
            compiled,
            _said(store, watermark, personal),
            folder,
            filters={"up_to": watermark, "round": turn.id},
            watermark=watermark,
        )
    except SnapshotProblem as error:
        raise RoundFailed(str(error)) from error
    snapshot = store.rounds.add_snapshot(str(folder), manifest.hash, manifest.to_record())
    store.rounds.update(turn.id, snapshot_id=snapshot.id)
    return snapshot


def _said(store: Store, watermark: int, personal: Handling) -> Iterator[Judgement]:
    """The judgements as they may enter a snapshot. Only replacing changes them; they were counted as rows."""
    for judgement in store.judgements.export(watermark):
        yield handled(judgement, personal, Tally()) if personal is Handling.REPLACE else judgement


def handled_rows(compiled: Compiled, personal: Handling) -> Compiled:
    """The rows as they may enter a snapshot; `counts` gets `personal`: `handling`, `rows` and `found` by kind."""
    tally = Tally()
    rows = {
        part.name: tuple(handled(row, personal, tally) for row in getattr(compiled, part.name))
        for part in fields(compiled)
        if isinstance(getattr(compiled, part.name), tuple)
    }
    return replace(compiled, **rows, counts={**compiled.counts, "personal": tally.to_record(personal)})


def summary(counts: dict[str, Any]) -> dict[str, Any]:
    """A round's `rows`: preference pairs by side and by the kind of judgement behind them, and the other rows."""
    pairs = counts["rows"]["pairs"]
    return {
        "train": pairs["train"],
        "held_out": pairs["held_out"],
        "by_kind": dict(counts["pairs_by_origin"]),
        "marks": counts["rows"]["marks"],
        "sft": counts["rows"]["sft"],
        "judgements": counts["judgements"],
        "scripted": counts["scripted"],
        "skipped": counts["skipped"],
        "personal": counts["personal"],
    }
