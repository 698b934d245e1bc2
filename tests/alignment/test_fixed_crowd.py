"""Nothing changes unnoticed: rows and snapshots of a fixed crowd are the recorded bytes, and losses the recorded ones.

The records in `fixed_crowd.json` come from the commit before a change, by `python -m tests.alignment.fixed_crowd
--train`. Where a rule of compiling changes on purpose, the change and the new record go together. Snapshot hashes
cover the Parquet files too, so another pyarrow than the locked one may change those alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.alignment.fixed_crowd import LOSSES, RULES, SETTINGS, compiled, row_hashes, snapshot, trained

RECORDED: dict[str, Any] = json.loads(Path(__file__).with_name("fixed_crowd.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", RULES)
def test_compiled_rows_are_the_recorded_ones(name: str, tmp_path: Path) -> None:
    assert row_hashes(compiled(RULES[name], tmp_path / "scratch")) == RECORDED["rows"][name]


@pytest.mark.parametrize("name", RULES)
def test_snapshots_are_the_recorded_ones(name: str, tmp_path: Path) -> None:
    manifest = snapshot(RULES[name], tmp_path)
    assert manifest.counts == RECORDED["counts"][name]
    assert manifest.hash == RECORDED["snapshots"][name]


def test_the_crowd_says_everything_that_there_is_a_rule_for() -> None:
    counts = RECORDED["counts"]["majority"]
    assert set(counts["pairs_by_origin"]) == {"compare", "correction", "like", "rank"}
    assert counts["implicit"] > 0
    assert {"cannot_judge", "contradicts", "forced", "gold", "not_finished", "repeat", "tie_or_unranked"} <= set(
        counts["skipped"]
    )
    assert all(side for kind in counts["rows"].values() for side in kind.values())
    assert RECORDED["counts"]["default"]["reward_only"]["held_out"] > 0


@pytest.mark.slow
def test_losses_are_the_recorded_ones(tmp_path: Path) -> None:
    found = trained(tmp_path)
    assert set(found) == set(SETTINGS)
    for method, names in LOSSES.items():
        for name in names:
            losses, recorded = found[method][name], RECORDED["trained"][method][name]
            assert len(losses) == len(recorded), method
            # Another processor adds in another order; what that does grows with the steps.
            assert losses[0] == pytest.approx(recorded[0], rel=1e-3, abs=1e-4), (method, name)
            assert losses[-1] == pytest.approx(recorded[-1], rel=2e-2, abs=2e-3), (method, name)
