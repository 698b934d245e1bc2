"""Signals that nobody was asked for: off by default, weak, and only where votes agree with them."""

from __future__ import annotations

import pytest

from alignment.dataset.compile import Rules, Signal
from alignment.dataset.compile.implicit import ImplicitSignal, implicit_scale, signal_weights
from alignment.dataset.judgement import Judgement, Mark
from tests.alignment.builders import like, user
from tests.alignment.compiled import Compiled, compile_rows
from tests.alignment.in_memory import explicit_marks

ON = Rules(implicit=frozenset(Signal))


def signal(
    number: int, kind: Signal = Signal.COPY, *, amount: float = 1.0, prompt: str = "", text: str = ""
) -> ImplicitSignal:
    context = user(prompt or f"Question {number}?")
    return ImplicitSignal(f"s{number:05d}", "p1", kind, context, text or f"answer {number}", amount=amount)


def votes(count: int, agree: int, good: bool = True) -> list[Judgement]:
    marks = [good if i < agree else not good for i in range(count)]
    return [
        like(i, f"answer {i}", Mark.GOOD if mark else Mark.BAD, prompt=f"Question {i}?") for i, mark in enumerate(marks)
    ]


def compiled(judgements: list[Judgement], signals: list[ImplicitSignal], rules: Rules = ON) -> Compiled:
    return compile_rows(judgements, rules=rules, signals=signals)


def weights(count: int, agree: int, kind: Signal = Signal.COPY) -> dict[Signal, float]:
    return signal_weights([signal(i, kind) for i in range(count)], explicit_marks(votes(count, agree)), ON)


@pytest.mark.parametrize(
    ("count", "agree", "expected"),
    [
        (99, 99, None),  # too few
        (100, 50, None),  # no better than chance
        (100, 55, None),  # the bound lies below ½
        (100, 60, 0.036),
        (100, 90, 0.1),  # never more
        (1000, 530, 0.0080),
    ],
)
def test_a_signal_weighs_what_its_agreement_surely_shows(count: int, agree: int, expected: float | None) -> None:
    found = weights(count, agree).get(Signal.COPY)
    assert found == (None if expected is None else pytest.approx(expected, abs=0.0015))


def test_signals_are_off_unless_asked_for() -> None:
    signals = [signal(i) for i in range(200)]
    judgements = votes(150, 150)
    assert compile_rows(judgements, signals=signals) == compile_rows(judgements)
    assert compiled(judgements, signals, Rules(implicit=frozenset({Signal.RETRY}))).counts["implicit"] == 0
    assert compiled(judgements, signals).counts["implicit"] > 0


def test_signals_speak_for_or_against_and_a_small_edit_says_nothing() -> None:
    against = [kind for kind in Signal if not signal(1, kind).good]
    assert against == [Signal.RETRY, Signal.STOP, Signal.EDIT, Signal.ABANDONED]
    assert not signal(1, Signal.EDIT, amount=0.1).counts
    assert signal(1, Signal.EDIT, amount=0.3).counts


def test_they_never_weigh_more_than_a_tenth_and_are_never_held_out() -> None:
    judgements = votes(150, 150)
    found = compiled(judgements, [signal(i) for i in range(5000)])
    implicit = [row for row in found.marks if row.origin == "implicit"]
    total = sum(row.weight for row in found.marks)
    assert 3000 < len(implicit) < 4850  # those on held-out prompts are left out
    assert sum(row.weight for row in implicit) / total == pytest.approx(0.1)
    assert {row.split for row in implicit} == {"train"}
    assert "held_out" in {row.split for row in found.marks}


def test_a_mark_of_the_same_person_outranks_a_signal() -> None:
    found = compiled(votes(150, 150), [signal(i) for i in range(155)])
    texts = {row.completion for row in found.marks if row.origin == "implicit"}
    assert texts
    assert texts <= {f"answer {i}" for i in range(150, 155)}


@pytest.mark.parametrize(("explicit", "implicit", "scale"), [(90.0, 5.0, 1.0), (90.0, 20.0, 0.5), (0.0, 3.0, 0.0)])
def test_the_scale_leaves_a_tenth(explicit: float, implicit: float, scale: float) -> None:
    assert implicit_scale(explicit, implicit) == pytest.approx(scale)
