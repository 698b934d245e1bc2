"""Frozen datasets: equal bytes for equal input, and nothing that changed passes."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pandas
import pytest

from alignment.dataset.compile import Rules
from alignment.dataset.judgement import Judgement, Mark
from alignment.dataset.reading.folder import read_comparisons, read_marks, read_pairs, read_sft
from alignment.dataset.snapshot import Manifest, read_manifest, verify_snapshot
from alignment.errors import SnapshotProblem
from tests.alignment.builders import like, ranking, vote
from tests.alignment.compiled import compile_rows, write_compiled


def some() -> list[Judgement]:
    judgements = [vote(i, prompt=f"Question {i} ä?", scripted=i % 2 == 0) for i in range(120)]
    return [
        *judgements,
        like(200, "Blue!", Mark.GOOD),
        like(201, "Teh sky.", Mark.BAD, correction="The sky."),
        ranking(202, [1, 2, 2, 3]),
    ]


def write(folder: Path, judgements: list[Judgement]) -> Manifest:
    return write_compiled(judgements, folder, filters={"scripted": True}, watermark=7)


def test_equal_input_gives_equal_bytes_in_any_order(tmp_path: Path) -> None:
    first, second = some(), some()
    random.Random(3).shuffle(second)
    assert write(tmp_path / "a", first).hash == write(tmp_path / "b", second).hash
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(names) == 11
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_other_input_gives_another_hash(tmp_path: Path) -> None:
    assert write(tmp_path / "a", some()).hash != write(tmp_path / "b", some()[1:]).hash


def test_the_manifest_counts_by_kind_and_names_filters_and_watermark(tmp_path: Path) -> None:
    manifest = write(tmp_path, some())
    assert manifest.counts["by_kind"] == {"compare": 120, "like": 2, "rank": 1}
    assert manifest.counts["scripted"] == 60
    assert (manifest.filters, manifest.watermark) == ({"scripted": True}, 7)
    assert manifest.files["pairs.parquet"]["rows"] == len(compile_rows(some()).pairs)


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    compiled = compile_rows(some())
    write(tmp_path, some())
    pairs, groups = read_comparisons(tmp_path)
    assert (tuple(pairs), tuple(groups)) == (compiled.pairs, compiled.groups)
    assert tuple(read_pairs(tmp_path, use="reward")) == compiled.pairs
    assert tuple(read_marks(tmp_path, use="reward")) == compiled.marks
    assert tuple(read_sft(tmp_path)) == compiled.sft
    assert len(compiled.groups) == 1
    assert {row.split for row in read_pairs(tmp_path, "held_out")} == {"held_out"}


def test_a_policy_reads_aged_weights_and_no_pair_that_people_disagree_about(tmp_path: Path) -> None:
    judgements = [
        *(replace(vote(i, ranks=(1, 2) if i % 2 else (2, 1), person=f"p{i}"), task="shared") for i in range(4)),
        vote(10, prompt="Name a fruit."),
        like(11, "Blue!", Mark.GOOD),
    ]
    write_compiled(judgements, tmp_path, rules=Rules(promotions={"sft": 3}))
    (policy,) = read_pairs(tmp_path)
    reward = {row.prompt[0].content: row for row in read_pairs(tmp_path, use="reward")}
    stored = reward["Name a fruit."]
    assert stored.age_weight == 0.5
    assert policy == replace(stored, weight=stored.weight / 2, age_weight=1.0)
    close = reward["What colour is the sky?"]
    assert (close.reward_only, close.target) == (True, 0.5)
    assert [row.weight for row in read_marks(tmp_path)] == [0.5]


def test_pandas_reads_the_same_rows_from_parquet(tmp_path: Path) -> None:
    write(tmp_path, some())
    lines = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    frame = pandas.read_parquet(tmp_path / "pairs.parquet")
    assert len(frame) == len(lines)
    assert list(frame["weight"]) == [line["weight"] for line in lines]
    assert frame["chosen"][0][0]["content"] == lines[0]["chosen"][0]["content"]
    people = pandas.read_parquet(tmp_path / "judgements.parquet")
    assert len(people) == len(some())


def test_a_snapshot_without_rows_has_the_same_columns(tmp_path: Path) -> None:
    write(tmp_path / "full", some())
    write(tmp_path / "empty", [])
    for name in ("pairs", "marks", "sft", "groups", "judgements"):
        full = pandas.read_parquet(tmp_path / "full" / f"{name}.parquet")
        empty = pandas.read_parquet(tmp_path / "empty" / f"{name}.parquet")
        assert list(full.columns) == list(empty.columns)


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    hash_before = write(tmp_path, some()).hash
    assert verify_snapshot(tmp_path, hash_before).hash == hash_before
    with (tmp_path / "pairs.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(SnapshotProblem, match=r"pairs\.jsonl is missing or was changed"):
        verify_snapshot(tmp_path, hash_before)


def test_another_snapshot_than_the_named_one_is_refused(tmp_path: Path) -> None:
    write(tmp_path, some())
    with pytest.raises(SnapshotProblem, match="take a new snapshot"):
        verify_snapshot(tmp_path, "0" * 64)


def test_a_snapshot_is_never_overwritten(tmp_path: Path) -> None:
    write(tmp_path, some())
    with pytest.raises(SnapshotProblem, match="never change"):
        write(tmp_path, some())


def test_a_folder_that_is_no_snapshot_is_named(tmp_path: Path) -> None:
    with pytest.raises(SnapshotProblem, match=r"holds no manifest\.json"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(SnapshotProblem, match="is not a snapshot's manifest"):
        read_manifest(tmp_path)
