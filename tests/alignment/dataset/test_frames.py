"""A dataset as pandas frames: the rows of a snapshot, column by column, and sentences where there are none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from alignment.dataset.frames import read_snapshot, text_of
from alignment.dataset.rows import GroupRow, MarkRow, PairRow, SftRow
from alignment.errors import SnapshotProblem
from tests.alignment.fixed_crowd import RULES, compiled, frozen, judgements, snapshot


def test_every_row_of_a_snapshot_is_a_line_with_its_weight_judgements_and_split(tmp_path: Path) -> None:
    stream = compiled(RULES["majority"], tmp_path / "scratch")
    frozen(stream, tmp_path / "data")
    frames = read_snapshot(tmp_path / "data")
    for name, make in {"pairs": PairRow, "marks": MarkRow, "sft": SftRow, "groups": GroupRow}.items():
        frame = getattr(frames, name)
        for split in ("train", "held_out"):
            rows = list(stream.rows(make, split))
            part = frame[frame["split"] == split]
            assert rows, (name, split)
            assert list(part["weight"]) == [row.weight for row in rows]
            assert [tuple(ids) for ids in part["judgements"]] == [row.judgements for row in rows]
            assert list(text_of(part["prompt"])) == ["\n\n".join(turn.content for turn in row.prompt) for row in rows]
    assert set(frames.judgements["id"]) == {judgement.id for judgement in judgements()}
    named = set(frames.pairs.explode("judgements")["judgements"])
    assert named <= set(frames.judgements["id"])


def test_a_table_that_is_not_there_is_empty_with_its_columns(tmp_path: Path) -> None:
    snapshot(RULES["default"], tmp_path)
    full = read_snapshot(tmp_path / "data")
    for name in ("judgements", "groups"):
        (tmp_path / "data" / f"{name}.parquet").unlink()
    frames = read_snapshot(tmp_path / "data")
    assert len(frames.judgements) == len(frames.groups) == 0
    assert list(frames.judgements.columns) == list(full.judgements.columns)
    assert list(frames.groups.columns) == list(full.groups.columns)
    assert len(frames.pairs) == len(full.pairs) > 0


def test_a_folder_without_tables_and_a_damaged_table_are_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SnapshotProblem, match=r"holds no table such as pairs\.parquet"):
        read_snapshot(tmp_path)
    (tmp_path / "pairs.parquet").write_text("no table")
    with pytest.raises(SnapshotProblem, match=r"pairs\.parquet is not a table of pairs"):
        read_snapshot(tmp_path)


def test_pandas_is_loaded_by_the_call_and_not_by_the_import() -> None:
    code = "import sys, alignment.dataset.frames; sys.exit(bool({'pandas', 'pyarrow', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0
