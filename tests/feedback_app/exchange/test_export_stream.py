"""Export row by row: the same rows as in memory, without holding them."""

from __future__ import annotations

import tempfile
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignment.dataset.compile import Rules
from alignment.dataset.compile.ranked_groups import tie_groups
from alignment.dataset.compile.stream import Stream
from alignment.dataset.judgement import Judgement
from alignment.dataset.reading.feedback import demonstration, mark, pair
from alignment.dataset.reading.formats import Feedback, Kind
from feedback_app.exchange.exporting import SPLITS, Exported
from tests.alignment.builders import any_judgements, vote
from tests.alignment.compiled import compile_rows

pytestmark = pytest.mark.slow


def in_memory(judgements: list[Judgement], kind: Kind, split: str) -> list[Feedback]:
    """The rows of a kind and side, from everything at once; votes and rankings by their texts are enough."""
    rows = compile_rows(judgements)
    if kind is Kind.PAIR:
        return [
            pair(row.prompt, row.chosen, row.rejected, weight=row.weight, origin=row.origin, judgements=row.judgements)
            for row in rows.pairs
            if row.split == split
        ]
    if kind is Kind.MARK:
        return [mark(row.prompt, row.completion, row.label) for row in rows.marks if row.split == split]
    return [demonstration(row.prompt, row.completion) for row in rows.sft if row.split == split]


@settings(max_examples=40, deadline=None)
@given(any_judgements(), st.sampled_from(SPLITS), st.booleans())
def test_what_is_exported_row_by_row_is_what_memory_gives(
    judgements: list[Judgement], split: str, with_gold: bool
) -> None:
    if with_gold:
        judgements = [*judgements, replace(vote(900), gold=True)]
    said = [each for each in judgements if each.gold is None]
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "sides").mkdir()
        stream = Stream(said, Path(scratch) / "sides")
        sides = {each.id: stream.side(each) for each in said}
        exported = Exported(iter(judgements), Path(scratch), Rules())
        assert exported.judgements == len(judgements)
        for kind in (Kind.PAIR, Kind.MARK, Kind.DEMONSTRATION):
            assert list(exported.feedback(kind, split)) == in_memory(judgements, kind, split)
        ranked = [each for each in said if not each.cannot_judge and len(tie_groups(each)) > 1]
        rankings = list(exported.feedback(Kind.RANKING, split))
        expected = [each.at for each in ranked if sides[each.id] == split]
        assert [each.at for each in rankings][: len(expected)] == expected  # in the order they were given
        others = [row for row in compile_rows(judgements).pairs if row.origin not in ("compare", "rank")]
        assert rankings[len(expected) :] == [
            pair(row.prompt, row.chosen, row.rejected) for row in others if row.split == split
        ]


@pytest.mark.parametrize("kind", [Kind.PAIR, Kind.VOTE, Kind.RANKING])
def test_an_export_does_not_hold_what_it_writes(tmp_path: Path, kind: Kind) -> None:
    size, count = 20_000, 1_500

    def judgements() -> Iterator[Judgement]:
        for number in range(count):
            judgement = vote(number, prompt=f"Question {number} of them all?")
            texts = (chr(97 + number % 26) * size, chr(65 + number % 26) * size)
            shown = zip(judgement.candidates, texts, strict=True)
            yield replace(judgement, candidates=tuple(replace(each, text=text) for each, text in shown))

    tracemalloc.start()
    try:
        exported = Exported(judgements(), tmp_path, Rules())
        written = sum(1 for split in SPLITS for _ in exported.feedback(kind, split))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert written == count
    assert peak < 2 * size * count / 4  # of 60 MB of texts
