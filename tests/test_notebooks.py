"""The notebooks of the documentation run as they are, cell by cell, on a snapshot of the tests' fixed crowd."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.alignment.fixed_crowd import RULES, judgements, snapshot

NOTEBOOKS = Path(__file__).resolve().parent.parent / "docs" / "notebooks"


def run(name: str) -> dict[str, Any]:
    """The names that a notebook leaves behind."""
    names: dict[str, Any] = {}
    for number, cell in enumerate(json.loads((NOTEBOOKS / name).read_text(encoding="utf-8"))["cells"]):
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], f"cell {number} holds the output of somebody's data"
            exec(compile("".join(cell["source"]), f"{name}, cell {number}", "exec"), names)
    return names


def test_a_snapshot_is_read_and_tabulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshot(RULES["majority"], tmp_path)
    monkeypatch.setenv("ALIGNLOOP_SNAPSHOT", str(tmp_path / "data"))
    left = run("snapshot.ipynb")
    assert set(left["by_origin"].index) == {"compare", "correction", "like", "rank"}
    assert left["by_origin"]["size"].sum().sum() == len(left["pairs"]) > 0
    assert 0 < left["share_longer"] < 1
    assert "#" in capsys.readouterr().out
    assert set(left["by_person"].index.get_level_values("person")) <= {each.person for each in judgements()}
    assert len(left["by_person"]) > 1
    assert left["disputed"]["target"].is_monotonic_increasing
    assert len(left["disputed"]) > 0


def test_every_notebook_is_run_here() -> None:
    assert [path.name for path in NOTEBOOKS.glob("*.ipynb")] == ["snapshot.ipynb"]
