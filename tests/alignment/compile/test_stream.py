"""The same rows from disk: equal to what memory gives, for any judgements."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from alignment.compile import Rules, compile_rows
from alignment.compile.stream import Stream
from alignment.judgement import Judgement, Mark
from alignment.snapshot import write_snapshot, write_stream
from tests.alignment.builders import any_judgements, like, ranking, vote

RULES = Rules(trusted=frozenset({"p1"}), promotions={"sft": 2})


def streamed(
    judgements: list[Judgement], rules: Rules
) -> tuple[list[Judgement], list[list[object]], dict[str, object]]:
    with tempfile.TemporaryDirectory() as scratch:
        stream = Stream(judgements, Path(scratch), seed=3, rules=rules)
        read: list[Judgement] = []
        rows: list[list[object]] = [[], [], [], []]
        for there, found in stream.contexts():
            read += there
            kinds: tuple[Sequence[object], ...] = (found.pairs, found.marks, found.sft, found.groups)
            for kind, listed in zip(rows, kinds, strict=True):
                kind.extend(listed)
        return read, rows, stream.counts


@settings(max_examples=60, deadline=None)
@given(any_judgements(), st.booleans())
def test_the_stream_gives_what_memory_gives(judgements: list[Judgement], trusting: bool) -> None:
    rules = RULES if trusting else Rules()
    read, rows, counts = streamed(judgements, rules)
    compiled = compile_rows(judgements, seed=3, rules=rules)
    assert [tuple(kind) for kind in rows] == [compiled.pairs, compiled.marks, compiled.sft, compiled.groups]
    assert counts == compiled.counts
    assert sorted(read, key=lambda each: each.id) == sorted(judgements, key=lambda each: each.id)


def test_both_write_the_same_bytes(tmp_path: Path) -> None:
    judgements = [vote(i, prompt=f"Question {i % 90} ä?", person=f"p{i % 7}") for i in range(200)]
    judgements += [ranking(300 + i, [1, 2, 3], prompt=f"Question {i}?") for i in range(20)]
    judgements += [like(400, "Teh sky.", Mark.BAD, correction="The sky."), replace(vote(401), gold=True)]
    first = write_snapshot(
        compile_rows(judgements, rules=RULES), judgements, tmp_path / "memory", filters={}, watermark=1
    )
    (tmp_path / "scratch").mkdir()
    stream = Stream(reversed(judgements), tmp_path / "scratch", rules=RULES)
    assert write_stream(stream, tmp_path / "disk", filters={}, watermark=1).hash == first.hash
    for path in (tmp_path / "memory").iterdir():
        assert path.read_bytes() == (tmp_path / "disk" / path.name).read_bytes()


def test_nothing_is_a_snapshot_too(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    stream = Stream([], tmp_path / "scratch")
    assert stream.counts == compile_rows([]).counts
    assert write_stream(stream, tmp_path / "out", filters={}, watermark=0).counts["judgements"] == 0
