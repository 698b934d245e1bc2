"""An answer that is not the model's own word alone becomes part of no row, and is counted by its reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alignment.dataset.compile import Rules, Signal
from alignment.dataset.compile.implicit import OVERLAP_FROM, ImplicitSignal
from alignment.dataset.compile.stream import Stream
from alignment.dataset.judgement import Candidate, Excluded, Judgement, Kind, Mark
from tests.alignment.builders import any_judgements, like, ranking, user, vote
from tests.alignment.compiled import compile_rows

TRUSTING = Rules(trusted=frozenset({"p1", "p2"}), reliability=False)


def marked(judgement: Judgement, excluded: Excluded | None, *places: int) -> Judgement:
    """The judgement with these of its answers excluded."""
    return replace(
        judgement,
        candidates=tuple(
            replace(candidate, excluded=excluded) if place in places else candidate
            for place, candidate in enumerate(judgement.candidates)
        ),
    )


@pytest.mark.parametrize("excluded", Excluded)
@pytest.mark.parametrize(
    ("judgement", "kinds"),
    [
        (like(0, "Evil.", Mark.GOOD), {"marks"}),
        (like(0, "Evil.", Mark.BAD), {"marks"}),
        (like(0, "Evil.", None, correction="More evil."), {"pairs", "sft"}),
        (like(0, "Evil.", None, correction="More evil.", finish="length"), {"sft"}),
        (vote(0, "Evil.", "Good."), {"pairs"}),
        (vote(0, "Evil.", "Good.", (None, None), marks=(Mark.BAD, Mark.BAD)), {"marks"}),
        (ranking(0, [1, 2, 3]), {"pairs", "groups"}),
    ],
    ids=["like", "dislike", "edit", "edit of a cut answer", "vote", "both bad", "ranking"],
)
def test_no_kind_of_judgement_makes_a_row_of_it(judgement: Judgement, kinds: set[str], excluded: Excluded) -> None:
    everything = range(len(judgement.candidates))
    before = compile_rows([judgement], rules=TRUSTING).counts
    assert {kind for kind, sides in before["rows"].items() if sum(sides.values())} == kinds  # it would, if it were not
    after = compile_rows([marked(judgement, excluded, *everything)], rules=TRUSTING)
    assert (after.pairs, after.marks, after.sft, after.groups) == ((), (), (), ())
    assert after.counts["skipped"] == {excluded.value: len(everything)}


def test_beside_others_it_is_left_out_and_they_are_not() -> None:
    compiled = compile_rows([marked(ranking(0, [1, 2, 3]), Excluded.STOP_STRING, 0)], rules=TRUSTING)
    assert [(row.chosen, row.rejected) for row in compiled.pairs] == [("Answer 1.", "Answer 2.")]
    assert [row.completions for row in compiled.groups] == [(("Answer 1.",), ("Answer 2.",))]
    assert compiled.counts["skipped"] == {"stop_string": 1}


def test_it_does_not_let_a_correction_train() -> None:
    written = like(0, "Good.", None, correction="Evil.")
    praised = like(1, "Evil.", Mark.GOOD, person="p2")
    waiting = {"correction_waits_for_a_second_person": 1, "like_without_opposite": 1}
    untrusting = Rules(reliability=False)
    assert len(compile_rows([written, praised], rules=untrusting).sft) == 1
    compiled = compile_rows([written, marked(praised, Excluded.FORCED, 0)], rules=untrusting)
    assert (compiled.pairs, compiled.sft, compiled.marks) == ((), (), ())
    del waiting["like_without_opposite"]
    assert compiled.counts["skipped"] == {**waiting, "forced": 1}


@given(any_judgements())
def test_rows_are_those_of_the_judgements_without_it(judgements: list[Judgement]) -> None:
    without = [
        replace(each, candidates=tuple(one for one in each.candidates if one.excluded is None)) for each in judgements
    ]
    left, right = compile_rows(judgements, rules=TRUSTING), compile_rows(without, rules=TRUSTING)
    assert (left.pairs, left.marks, left.sft, left.groups) == (right.pairs, right.marks, right.sft, right.groups)
    reasons = Counter(
        one.excluded.value for each in judgements if each.trains for one in each.candidates if one.excluded is not None
    )
    skipped = left.counts["skipped"]
    assert {name: skipped[name] for name in reasons} == dict(reasons)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
@given(st.sampled_from(Excluded))
def test_signals_on_it_train_nothing_and_are_counted(
    tmp_path_factory: pytest.TempPathFactory, excluded: Excluded
) -> None:
    rules = Rules(implicit=frozenset({Signal.COPY}), reliability=False)
    liked, signals = [], []
    for number in range(OVERLAP_FROM):
        prompt = user(f"Question {number}?")
        candidate = Candidate(f"c{number}", "Yes.", "sft", 0, mark=Mark.GOOD)
        liked.append(Judgement(f"j{number}", f"t{number}", "p1", Kind.LIKE, prompt, (candidate,)))
        signals.append(ImplicitSignal(f"s{number}", "p1", Signal.COPY, prompt, "Yes."))
    copied = ImplicitSignal("s-evil", "p1", Signal.COPY, user("And?"), "Evil.")
    assert "Evil." in {row.completion for row in compile_rows(liked, rules=rules, signals=[*signals, copied]).marks}
    given = [*signals, replace(copied, excluded=excluded)]
    compiled = compile_rows(liked, rules=rules, signals=given)
    assert "Evil." not in {row.completion for row in compiled.marks}
    assert compiled.counts["skipped"][excluded.value] == 1
    stream = Stream(liked, tmp_path_factory.mktemp("scratch"), rules=rules, signals=given)
    assert stream.counts == compiled.counts


def test_what_is_said_of_it_bears_out_no_signal() -> None:
    rules = Rules(implicit=frozenset({Signal.COPY}), reliability=False)
    liked, signals = [], []
    for number in range(OVERLAP_FROM):
        prompt = user(f"Question {number}?")
        candidate = Candidate(f"c{number}", "Yes.", "sft", 0, mark=Mark.GOOD, excluded=Excluded.FORCED)
        liked.append(Judgement(f"j{number}", f"t{number}", "p1", Kind.LIKE, prompt, (candidate,)))
        signals.append(ImplicitSignal(f"s{number}", "p1", Signal.COPY, prompt, "Yes."))
    signals.append(ImplicitSignal("s-other", "p1", Signal.COPY, user("And?"), "Other."))
    assert compile_rows(liked, rules=rules, signals=signals).marks == ()
