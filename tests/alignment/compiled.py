"""Judgements compiled and written as a round does it, for tests that hold all their rows in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignment.dataset.compile.implicit import ImplicitSignal
from alignment.dataset.compile.rules import Rules
from alignment.dataset.compile.snapshot_writer import write_snapshot
from alignment.dataset.compile.stream import Stream
from alignment.dataset.judgement import Judgement
from alignment.dataset.rows import GroupRow, MarkRow, PairRow, SftRow
from alignment.dataset.snapshot import Manifest


@dataclass(frozen=True, slots=True)
class Compiled:
    """All rows in their order, and the stream's `counts`."""

    pairs: tuple[PairRow, ...]
    marks: tuple[MarkRow, ...]
    sft: tuple[SftRow, ...]
    counts: dict[str, Any]
    groups: tuple[GroupRow, ...] = ()


def compile_rows(
    judgements: Iterable[Judgement],
    *,
    seed: int = 0,
    rules: Rules | None = None,
    signals: Iterable[ImplicitSignal] = (),
) -> Compiled:
    """All rows of these judgements and signals."""
    with tempfile.TemporaryDirectory() as scratch:
        stream = Stream(judgements, Path(scratch), seed=seed, rules=rules or Rules(), signals=signals)
        rows = [found for _, found in stream.contexts()]
    return Compiled(
        pairs=tuple(row for each in rows for row in each.pairs),
        marks=tuple(row for each in rows for row in each.marks),
        sft=tuple(row for each in rows for row in each.sft),
        groups=tuple(row for each in rows for row in each.groups),
        counts=stream.counts,
    )


def write_compiled(
    judgements: Iterable[Judgement],
    folder: Path,
    *,
    seed: int = 0,
    rules: Rules | None = None,
    signals: Iterable[ImplicitSignal] = (),
    filters: Mapping[str, Any] | None = None,
    watermark: int = 0,
) -> Manifest:
    """The dataset folder of these judgements and signals."""
    with tempfile.TemporaryDirectory() as scratch:
        stream = Stream(judgements, Path(scratch), seed=seed, rules=rules or Rules(), signals=signals)
        return write_snapshot(
            stream.contexts(), folder, counts=lambda: stream.counts, filters=filters or {}, watermark=watermark
        )
