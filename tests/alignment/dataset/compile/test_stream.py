"""The same rows from disk: equal to what memory gives, for any judgements."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignment.dataset.compile import Rules, Signal
from alignment.dataset.compile.drafted_context import Rows
from alignment.dataset.compile.implicit import ImplicitSignal
from alignment.dataset.compile.snapshot_writer import write_snapshot
from alignment.dataset.compile.stream import Stream
from alignment.dataset.compile.survey import context_digest
from alignment.dataset.judgement import Judgement, Mark
from tests.alignment.builders import any_judgements, like, ranking, user, vote
from tests.alignment.compiled import write_compiled
from tests.alignment.in_memory import compiled_in_memory

pytestmark = pytest.mark.slow

RULES = Rules(trusted=frozenset({"p1"}), promotions={"sft": 2})


def streamed(
    judgements: list[Judgement], rules: Rules, signals: Sequence[ImplicitSignal] = ()
) -> tuple[list[Judgement], list[list[object]], dict[str, object]]:
    with tempfile.TemporaryDirectory() as scratch:
        stream = Stream(judgements, Path(scratch), seed=3, rules=rules, signals=signals)
        read: list[Judgement] = []
        rows: list[list[object]] = [[], [], [], []]
        for there, found in stream.contexts():
            read += there
            kinds: tuple[Sequence[object], ...] = (found.pairs, found.marks, found.sft, found.groups)
            for kind, listed in zip(rows, kinds, strict=True):
                kind.extend(listed)
        return read, rows, stream.counts.to_record()


@settings(max_examples=60, deadline=None)
@given(any_judgements(), st.booleans())
def test_the_stream_gives_what_memory_gives(judgements: list[Judgement], trusting: bool) -> None:
    rules = RULES if trusting else Rules()
    read, rows, counts = streamed(judgements, rules)
    compiled = compiled_in_memory(judgements, seed=3, rules=rules)
    assert [tuple(kind) for kind in rows] == [compiled.pairs, compiled.marks, compiled.sft, compiled.groups]
    assert counts == compiled.counts
    assert sorted(read, key=lambda each: each.id) == sorted(judgements, key=lambda each: each.id)


def done(number: int, kind: Signal, person: str = "p1", prompt: str = "", text: str = "") -> ImplicitSignal:
    context = user(prompt or f"Question {number}?")
    return ImplicitSignal(f"s{number:05d}-{kind}", person, kind, context, text or f"answer {number}")


def test_the_stream_gives_what_memory_gives_of_signals_too() -> None:
    """Copies agree with the votes, retries do not; some on answers that were marked, some where nobody judged."""
    judgements = [
        like(i, f"answer {i}", Mark.GOOD if i % 9 else Mark.BAD, prompt=f"Question {i}?", person=f"p{i % 2}")
        for i in range(240)
    ]
    judgements += [vote(1000 + i, prompt=f"Question {i}?", person="p2") for i in range(60)]
    signals = [done(i, Signal.COPY, f"p{i % 2}") for i in range(400)]
    signals += [done(i, Signal.RETRY, f"p{i % 2}") for i in range(300)]
    signals += [done(7, Signal.COPY, "p3"), done(9000, Signal.EDIT)]
    rules = Rules(implicit=frozenset({Signal.COPY, Signal.RETRY, Signal.EDIT}))
    read, rows, counts = streamed(judgements, rules, signals[::-1])
    compiled = compiled_in_memory(judgements, seed=3, rules=rules, signals=signals)
    assert [tuple(kind) for kind in rows] == [compiled.pairs, compiled.marks, compiled.sft, compiled.groups]
    assert counts == compiled.counts
    assert len(read) == len(judgements)
    used = [row for row in compiled.marks if row.origin == "implicit"]
    assert 100 < len(used) == counts["implicit"]
    assert {row.label for row in used} == {True}  # no retry: votes do not bear it out
    assert any(row.prompt == user("Question 399?") or row.prompt == user("Question 398?") for row in used)
    assert streamed(judgements, Rules(), signals) == streamed(judgements, Rules())


@settings(max_examples=30, deadline=None)
@given(any_judgements(), st.integers(0, 2**32))
def test_signals_on_whatever_was_judged_give_the_same_from_disk(judgements: list[Judgement], seed: int) -> None:
    rng = random.Random(seed)
    votes = [like(5000 + i, f"answer {i}", Mark.BAD, prompt=f"Question {i}?") for i in range(120)]
    signals = [done(i, Signal.STOP) for i in range(130)]
    for number, judgement in enumerate(judgements):
        candidate = rng.choice(judgement.candidates)
        kind, person = rng.choice([Signal.STOP, Signal.THANKS]), rng.choice([judgement.person, "p1"])
        signals.append(ImplicitSignal(f"x{number:05d}", person, kind, judgement.context, candidate.text))
    rules = Rules(implicit=frozenset(Signal))
    _, rows, counts = streamed([*judgements, *votes], rules, signals)
    compiled = compiled_in_memory([*judgements, *votes], seed=3, rules=rules, signals=signals)
    assert [tuple(kind) for kind in rows] == [compiled.pairs, compiled.marks, compiled.sft, compiled.groups]
    assert counts == compiled.counts


def test_both_write_the_same_bytes(tmp_path: Path) -> None:
    judgements = [vote(i, prompt=f"Question {i % 90} ä?", person=f"p{i % 7}") for i in range(200)]
    judgements += [ranking(300 + i, [1, 2, 3], prompt=f"Question {i}?") for i in range(20)]
    judgements += [like(400, "Teh sky.", Mark.BAD, correction="The sky."), replace(vote(401), gold=True)]
    compiled = compiled_in_memory(judgements, rules=RULES)
    said = sorted(judgements, key=lambda each: (context_digest(each.context), each.id))
    rows = Rows(list(compiled.pairs), list(compiled.marks), list(compiled.sft), list(compiled.groups))
    first = write_snapshot([(said, rows)], tmp_path / "memory", counts=lambda: compiled.counts, filters={}, watermark=1)
    assert write_compiled(reversed(judgements), tmp_path / "disk", rules=RULES, watermark=1).hash == first.hash
    for path in (tmp_path / "memory").iterdir():
        assert path.read_bytes() == (tmp_path / "disk" / path.name).read_bytes()


def test_nothing_is_a_snapshot_too(tmp_path: Path) -> None:
    manifest = write_compiled([], tmp_path)
    assert manifest.counts == compiled_in_memory([]).counts
    assert manifest.counts["judgements"] == 0
