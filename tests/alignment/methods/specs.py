"""Specs of attempts on a snapshot of judgements, each attempt with a folder of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from alignment.dataset.judgement import Judgement
from alignment.stage.spec import Setting, StageSpec
from tests.alignment.compiled import write_compiled


def spec_of(
    stage: str,
    folder: Path,
    model: Path,
    judgements: Sequence[Judgement],
    *,
    seed: int = 1,
    adapter: Path | None = None,
    **settings: Setting,
) -> StageSpec:
    """The next attempt at a stage in `folder`, whose snapshot is written by the first one."""
    data = folder / "data"
    if not data.exists():
        write_compiled(judgements, data)
    out = folder / f"out-{len(list(folder.glob('out-*')))}"
    return StageSpec(stage, data, str(model), out, settings, seed, adapter)
