"""What the gate makes of suites: losses beyond a margin, too few questions, and suites that do not fit."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.evaluation.gate import VerdictKind, guard_verdict
from alignment.evaluation.guards import Evidence, SuiteScore, TextFacts, capability_of
from alignment.evaluation.suites.items import needed
from alignment.stats import wilson_interval

TEXT = TextFacts(64, 20.0, 0.0, 0.0, 0.0)


def suite(
    n: int = 1272, right: int = 850, lost: int = 0, gained: int = 0, *, margin: float = 2.0, chosen: bool = True,
    items: int = 0, chance: float = 0.25,
) -> SuiteScore:  # fmt: skip
    """A suite of which the base and the incumbent answer `right` of `n`, and the challenger a few others."""
    base = [at < right for at in range(n)]
    mine = [not was if at < lost or right <= at < right + gained else was for at, was in enumerate(base)]
    return SuiteScore(
        "general", "h", chosen, margin, items or n, n, needed(margin), 0, chance,
        wilson_interval(sum(mine), n), wilson_interval(right, n)[0], capability_of(["all"] * n, mine, base, base),
    )  # fmt: skip


def evidence(*suites: SuiteScore, unmeasured: tuple[str, ...] = ()) -> Evidence:
    nothing = capability_of([], [], [], [])
    return Evidence(
        "new", "old", "base", suites[0].capability if suites else nothing, 3.0, 1.0, TEXT, TEXT, kl_base=3.0,
        suites=suites, headline=suites[0].name if suites else "", unmeasured=unmeasured,
    )  # fmt: skip


def test_the_base_against_itself_passes_and_says_what_it_kept() -> None:
    verdict = guard_verdict(evidence(suite()))
    assert verdict.kind is VerdictKind.PASS
    assert verdict.reasons[0] == ("It kept what it could do: 66.8% of 1,272 questions of general right, 66.8% before.")


def test_a_loss_beyond_the_margin_fails_and_so_does_one_that_may_be_twice_as_large() -> None:
    failed = guard_verdict(evidence(suite(lost=40, gained=10)))
    assert failed.kind is VerdictKind.FAIL
    assert failed.reasons[0] == (
        "It lost 2.4 points of general to the incumbent; at most 2 are allowed, with an upper bound of 4 "
        "(1,272 questions)."
    )
    wide = guard_verdict(evidence(suite(lost=320, gained=300)))
    assert "It may have lost up to" in wide.reasons[0]
    assert guard_verdict(evidence(suite(lost=40, gained=25))).kind is VerdictKind.PASS


def test_each_suite_has_its_own_margin() -> None:
    assert guard_verdict(evidence(suite(lost=40, margin=5.0))).kind is VerdictKind.PASS
    both = guard_verdict(evidence(suite(), replace(suite(lost=40), name="mine")))
    assert both.kind is VerdictKind.FAIL
    assert all("of mine to the" in reason for reason in both.reasons)


def test_too_few_questions_hold_and_name_what_would_help() -> None:
    short = guard_verdict(evidence(suite(n=320, right=210, items=1272, lost=20, gained=12)))
    assert short.kind is VerdictKind.HOLD, "2.5 points of 320 may be chance"
    assert short.reasons[0] == (
        "The suite general was asked with 320 of 1,272 questions; 500 are needed for a margin of 2 points: "
        "raise ALIGNLOOP_EVALUATION_MINUTES or its margin."
    )
    small = guard_verdict(evidence(suite(n=100, right=80)))
    assert small.reasons[0].endswith("500 are needed for a margin of 2 points: raise its margin.")


def test_a_loss_that_is_surely_one_fails_however_few_were_asked() -> None:
    assert guard_verdict(evidence(suite(n=100, right=80, lost=20))).kind is VerdictKind.FAIL


def test_a_shipped_suite_that_does_not_fit_is_said_and_holds_nobody_up() -> None:
    verdict = guard_verdict(evidence(suite(right=320, chosen=False, lost=100)))
    assert verdict.kind is VerdictKind.PASS
    assert verdict.reasons[0].startswith("Not measured: what it can do. The suite general does not fit this model")
    assert not any("kept what it could do" in reason for reason in verdict.reasons)


def test_a_chosen_suite_that_cannot_show_a_loss_holds() -> None:
    verdict = guard_verdict(evidence(suite(right=320)))
    assert verdict.kind is VerdictKind.HOLD
    assert "cannot show a loss on this model, whose base answers 25% of 1,272 questions right" in verdict.reasons[0]
    none = guard_verdict(evidence(replace(suite(n=0, right=0), items=40)))
    assert "none of its 40 questions can be asked of it" in none.reasons[0]


def test_what_nothing_measures_is_said_first() -> None:
    verdict = guard_verdict(evidence(unmeasured=("Not measured: what it can do.",)))
    assert (verdict.kind, verdict.reasons[0]) == (VerdictKind.PASS, "Not measured: what it can do.")


def test_without_frozen_questions_suites_or_a_word_about_it_the_gate_holds() -> None:
    verdict = guard_verdict(evidence())
    assert verdict.kind is VerdictKind.HOLD
    assert "0 questions; 500 are needed" in verdict.reasons[0]


def test_frozen_questions_beside_a_suite_are_judged_as_ever() -> None:
    frozen = capability_of(["x"] * 600, [at >= 13 for at in range(600)], [True] * 600, [True] * 600)
    both = replace(evidence(suite()), capability=frozen, headline="")
    assert "It lost 2.2 points of capability to the incumbent" in guard_verdict(both).reasons[0]


@given(st.integers(0, 400), st.integers(0, 400), st.integers(500, 1272), st.sampled_from([0.5, 2.0, 4.0]))
def test_losing_more_never_makes_a_verdict_better(lost: int, gained: int, n: int, margin: float) -> None:
    order = [VerdictKind.FAIL, VerdictKind.HOLD, VerdictKind.PASS]
    more, less = (
        guard_verdict(evidence(suite(n, 450, number, min(gained, n - 450), margin=margin))).kind
        for number in (lost, lost // 2)
    )
    assert order.index(more) <= order.index(less)


@pytest.mark.parametrize("margin", [1.0, 2.0, 4.0])
def test_an_unchanged_version_passes_at_just_the_questions_that_a_margin_needs(margin: float) -> None:
    n = needed(margin)
    assert guard_verdict(evidence(suite(n=n, right=n // 2, margin=margin))).kind is VerdictKind.PASS
    held = guard_verdict(evidence(suite(n=n - 1, right=n // 2, margin=margin)))
    assert held.kind is VerdictKind.HOLD
