"""Judgements up to a moment, compiled to rows and frozen in a folder: a round's dataset."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from alignment.compile.stream import Stream
from alignment.errors import SnapshotProblem
from alignment.judgement import Judgement
from alignment.methods.dpo_settings import MIN_PAIRS
from alignment.snapshot import write_stream
from feedback_app.errors import RoundFailed
from feedback_app.loop.rules import rules_of
from feedback_app.store.database import Store
from feedback_app.store.tables import Round, Snapshot, new_id


def freeze(store: Store, turn: Round, home: Path, *, new_name: Callable[[], str] = new_id) -> Snapshot:
    """The round's snapshot: the one it has, or a new one of every judgement there is now.

    Raises `RoundFailed` with both numbers when there are too few pairs to train on, and when the disk
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
    rules = rules_of(store, turn.settings)
    people: Counter[str] = Counter()
    folder = (home / "snapshots" / new_name()).resolve()
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="compile-", dir=home) as scratch:
            judgements = _counted(store.judgements.export(watermark), people)
            stream = Stream(judgements, Path(scratch), seed=turn.seed, rules=rules)
            rows = summary(stream.counts)
            store.rounds.update(turn.id, rows=rows)
            _check_enough(turn, rows)
            # Neither serial nor round stands in it: somebody who withdrew would show as a gap in the numbers.
            manifest = write_stream(
                stream,
                folder,
                filters={"rules": rules.to_record(), "seed": turn.seed},
                watermark=rows["judgements"],
            )
    except SnapshotProblem as error:
        raise RoundFailed(str(error)) from error
    except OSError as error:
        raise RoundFailed(f"Nothing can be written to {home}: {error.strerror or error}. Free some space.") from error
    snapshot = store.rounds.add_snapshot(str(folder), manifest.hash, manifest.to_record(), people)
    store.rounds.update(turn.id, snapshot_id=snapshot.id)
    return snapshot


def _check_enough(turn: Round, rows: dict[str, Any]) -> None:
    needed = int(turn.settings.get("min_pairs", MIN_PAIRS))
    if rows["train"] < needed:
        raise RoundFailed(
            f"There are {rows['train']} pairs to train on and {needed} are needed: {rows['judgements']} judgements "
            "gave no more, as ties and answers that were stopped or cut off never become pairs. Compare more."
        )


def _counted(judgements: Iterable[Judgement], people: Counter[str]) -> Iterator[Judgement]:
    """The same judgements, counted by person on their way."""
    for judgement in judgements:
        people[judgement.person] += 1
        yield judgement


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
        "groups": counts["rows"]["groups"],
        "reward_only": counts["reward_only"],
        "contradictions": counts["contradictions"],
        "people": counts["people"],
        "capped": counts["capped"],
        "skipped": counts["skipped"],
    }
