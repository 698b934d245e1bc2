"""Judgements up to a moment, compiled to rows and frozen in a folder: a round's dataset."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import cast

from alignment.dataset.compile.drafted_context import Rows
from alignment.dataset.compile.personal import Handling, PersonalFindings, handled
from alignment.dataset.compile.snapshot_writer import write_snapshot
from alignment.dataset.compile.stream import Stream
from alignment.dataset.counts import Counts, Sides
from alignment.dataset.judgement import Judgement
from alignment.dataset.left_out import LeftOut
from alignment.errors import SnapshotProblem
from alignment.methods.registry import lacking
from alignment.records import SideCounts
from alignment.suspects import outvoted_on
from feedback_app.domain.reports import RoundRows, SuspectRecord
from feedback_app.errors import RoundFailed
from feedback_app.loop.left_out import with_left_out
from feedback_app.loop.rules import Given, heard, rules_of, set_aside, signals_of
from feedback_app.loop.unfit import named
from feedback_app.store.database import Store
from feedback_app.store.tables import Round, Snapshot, new_id


def freeze(
    store: Store,
    round_: Round,
    home: Path,
    *,
    personal: Handling = Handling.FLAG,
    signals: Iterable[str] = (),
    new_name: Callable[[], str] = new_id,
) -> Snapshot:
    """The round's snapshot: the one it has, or a new one of every judgement there is now.

    Of implicit signals the kinds in `signals` are offered to the compiler, which uses what votes bear out.
    Judgements and signals of those whom an operator has set aside stay out; the manifest says how many judgements.
    Accounts to look at are kept with the round (`rows["suspects"]`, by id), and not in the manifest.
    Personal data and secrets are counted in the manifest, and with `personal` replace, replaced in rows and judgements.
    Raises `RoundFailed` with both numbers when there is too little for its method to train on, and when the disk
    does not take it. A folder that a crash left half-written is never named by anything.
    """
    assert round_.id is not None
    if round_.snapshot_id is not None:
        kept = store.rounds.snapshot(round_.snapshot_id)
        if kept is not None:
            return kept
    watermark = store.judgements.watermark()
    # Set even when the round fails below, so that a schedule waits for new judgements and not for ever the same.
    store.rounds.update(round_.id, watermark=watermark)
    rules = rules_of(store, round_.settings, signals)
    aside, left_out = set_aside(store), Counter[str]()
    people: Counter[str] = Counter()
    findings = PersonalFindings()
    folder = (home / "snapshots" / new_name()).resolve()
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="compile-", dir=home) as scratch:
            unfit = LeftOut()
            judgements = named(_counted(heard(store.judgements.export(watermark), aside, left_out), people), unfit)
            done = _counted(heard(signals_of(store, rules), aside, Counter()), people)
            stream = Stream(judgements, Path(scratch), seed=round_.seed, rules=rules, signals=done)
            rows = summary(stream.counts)
            rows["set_aside"] = left_out.total()
            rows["suspects"] = [cast(SuspectRecord, asdict(each)) for each in outvoted_on(stream.ballots)]
            rows = with_left_out(rows, unfit.to_record()) if unfit.total else rows
            store.rounds.update(round_.id, rows=rows)
            missing = lacking(round_.method, stream.counts, round_.settings)
            if missing:
                raise RoundFailed(missing)
            # Neither serial nor round stands in it: somebody who withdrew would show as a gap in the numbers.
            manifest = write_snapshot(
                handled_contexts(stream.contexts(), personal, findings),
                folder,
                counts=lambda: {
                    **stream.counts.to_record(),
                    "set_aside": left_out.total(),
                    "personal": findings.to_record(personal),
                },
                filters={"rules": rules.to_record(), "seed": round_.seed},
                watermark=rows["judgements"],
            )
    except SnapshotProblem as error:
        raise RoundFailed(str(error)) from error
    except OSError as error:
        raise RoundFailed(f"Nothing can be written to {home}: {error.strerror or error}. Free some space.") from error
    snapshot = store.rounds.add_snapshot(str(folder), manifest.hash, manifest.to_record(), people)
    store.rounds.update(round_.id, snapshot_id=snapshot.id, rows={**rows, "personal": manifest.counts["personal"]})
    return snapshot


def _counted(given: Iterable[Given], people: Counter[str]) -> Iterator[Given]:
    """The same judgements or signals, counted by person on their way."""
    for each in given:
        people[each.person] += 1
        yield each


def handled_contexts(
    contexts: Iterable[tuple[list[Judgement], Rows]], personal: Handling, findings: PersonalFindings
) -> Iterator[tuple[list[Judgement], Rows]]:
    """Judgements and rows as they may enter a snapshot; `findings` counts what was found in rows."""
    for judgements, rows in contexts:
        if personal is Handling.REPLACE:  # only replacing changes judgements; they are counted as rows
            judgements = [handled(judgement, personal, PersonalFindings()) for judgement in judgements]
        parts = {part.name: getattr(rows, part.name) for part in fields(rows)}
        yield (
            judgements,
            replace(rows, **{name: [handled(row, personal, findings) for row in many] for name, many in parts.items()}),
        )


def summary(counts: Counts) -> RoundRows:
    """A round's `rows`: preference pairs by side and by the kind of judgement behind them, and the other rows."""
    pairs = counts.rows["pairs"]
    return {
        "train": pairs.train,
        "held_out": pairs.held_out,
        "by_kind": dict(counts.pairs_by_origin),
        "marks": _sides(counts.rows["marks"]),
        "sft": _sides(counts.rows["sft"]),
        "groups": _sides(counts.rows["groups"]),
        "judgements": counts.judgements,
        "scripted": counts.scripted,
        "reward_only": _sides(counts.reward_only),
        "contradictions": dict(counts.contradictions),
        "people": counts.people,
        "capped": dict(counts.capped),
        "skipped": dict(counts.skipped),
        "implicit": counts.implicit,
    }


def _sides(sides: Sides) -> SideCounts:
    return {"train": sides.train, "held_out": sides.held_out}
