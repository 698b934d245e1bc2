"""Verdicts: what passes, what is held, what fails, and how often chance gets through."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.evaluation.gate import Limits, Verdict, VerdictKind, guard_verdict, vote_verdict
from alignment.evaluation.guards import Evidence, TextFacts, capability_of
from alignment.stats import binomial_tail

ORDINARY = TextFacts(n=64, words=20.0, repetition=0.05, empty=0.0, endless=0.0)


def evidence(lost: int = 0, gained: int = 0, n: int = 600) -> Evidence:
    """Honest evidence, but for `lost` and `gained` questions against incumbent and base."""
    before = [True] * (n - gained) + [False] * gained
    after = [False] * lost + [True] * (n - lost)
    return Evidence(
        challenger="policy-0001",
        incumbent="sft",
        base="base",
        capability=capability_of(["sums"] * n, after, before, before),
        kl=5.0,
        length_ratio=1.2,
        before=ORDINARY,
        after=ORDINARY,
    )


def test_honest_evidence_passes_and_says_what_was_measured() -> None:
    verdict = guard_verdict(evidence(lost=5, gained=3))
    assert verdict.kind is VerdictKind.PASS
    assert "600 questions" in verdict.reasons[0]
    assert "KL 5.0" in verdict.reasons[1]


def test_many_small_steps_may_lead_no_further_from_the_base_than_one() -> None:
    assert guard_verdict(replace(evidence(), kl_base=39.0)).kind is VerdictKind.PASS
    failed = guard_verdict(replace(evidence(), kl_base=43.2))
    assert failed.kind is VerdictKind.FAIL
    assert "KL to the base is 43.2" in failed.reasons[0]


def test_two_points_of_capability_may_be_lost_and_no_more() -> None:
    assert guard_verdict(evidence(lost=12)).kind is VerdictKind.PASS
    failed = guard_verdict(evidence(lost=13))
    assert failed.kind is VerdictKind.FAIL
    assert failed.reasons == (
        "It lost 2.2 points of capability to the incumbent; at most 2 are allowed, with an upper bound of 4.",
        "It lost 2.2 points of capability to the base; at most 2 are allowed, with an upper bound of 4.",
    )


def test_a_small_loss_among_many_changes_fails_by_its_upper_bound() -> None:
    assert guard_verdict(evidence(lost=70, gained=60)).kind is VerdictKind.FAIL
    assert "may have lost up to" in guard_verdict(evidence(lost=70, gained=60)).reasons[0]
    assert guard_verdict(evidence(lost=20, gained=10)).kind is VerdictKind.PASS


@pytest.mark.parametrize(
    ("broken", "word"),
    [
        (lambda e: replace(e, kl=1000.0), "KL"),
        (lambda e: replace(e, kl=float("nan")), "KL"),
        (lambda e: replace(e, length_ratio=5.0), "times as long"),
        (lambda e: replace(e, length_ratio=0.1), "times as long"),
        (lambda e: replace(e, after=replace(ORDINARY, repetition=0.6)), "repeats"),
        (lambda e: replace(e, after=replace(ORDINARY, empty=0.1)), "empty"),
        (lambda e: replace(e, after=replace(ORDINARY, endless=0.2)), "do not end"),
    ],
)
def test_every_guard_can_fail_alone(broken: Callable[[Evidence], Evidence], word: str) -> None:
    verdict = guard_verdict(broken(evidence()))
    assert verdict.kind is VerdictKind.FAIL
    assert len(verdict.reasons) == 1
    assert word in verdict.reasons[0]


@pytest.mark.parametrize(
    ("thin", "word"),
    [
        (evidence(n=499), "499 questions; 500 are needed"),
        (replace(evidence(), kl=None), "KL"),
        (replace(evidence(), after=replace(ORDINARY, n=0)), "No fresh answers"),
    ],
)
def test_what_was_not_measured_holds(thin: Evidence, word: str) -> None:
    verdict = guard_verdict(thin)
    assert verdict.kind is VerdictKind.HOLD
    assert word in verdict.reasons[0]


def test_an_incumbent_that_already_repeats_itself_is_the_measure() -> None:
    before = replace(ORDINARY, repetition=0.5, endless=0.3)
    assert guard_verdict(replace(evidence(), before=before, after=before)).kind is VerdictKind.PASS


def test_limits_are_given_by_the_caller() -> None:
    assert guard_verdict(evidence(), Limits(kl=1.0)).kind is VerdictKind.FAIL


def test_before_sixty_votes_it_is_held_and_says_how_many_are_needed() -> None:
    assert vote_verdict(0, 0, 0) == Verdict(VerdictKind.HOLD, ("60 more votes needed: 0 of 60 are in.",))
    assert vote_verdict(59, 0, 0) == Verdict(VerdictKind.HOLD, ("1 more vote needed: 59 of 60 are in.",))


def test_ties_count_as_votes_but_decide_nothing() -> None:
    assert vote_verdict(5, 0, 55).kind is VerdictKind.PASS
    assert vote_verdict(4, 0, 56).kind is VerdictKind.HOLD
    assert vote_verdict(0, 0, 60).kind is VerdictKind.HOLD


def test_the_test_is_exact_and_one_sided_at_five_percent() -> None:
    assert vote_verdict(37, 23, 0).kind is VerdictKind.PASS
    assert vote_verdict(36, 24, 0).kind is VerdictKind.HOLD
    assert vote_verdict(24, 36, 0).kind is VerdictKind.HOLD
    assert vote_verdict(23, 37, 0).kind is VerdictKind.FAIL


@given(st.integers(0, 120), st.integers(0, 120), st.integers(0, 60))
def test_a_verdict_follows_from_the_exact_tail(wins: int, losses: int, ties: int) -> None:
    verdict = vote_verdict(wins, losses, ties)
    enough = wins + losses + ties >= 60
    decided = wins + losses
    assert (verdict.kind is VerdictKind.PASS) == (enough and binomial_tail(wins, decided) <= 0.05)
    assert (verdict.kind is VerdictKind.FAIL) == (enough and binomial_tail(losses, decided) <= 0.05)


@given(st.integers(0, 80), st.integers(0, 80), st.integers(0, 40))
def test_another_win_never_hurts(wins: int, losses: int, ties: int) -> None:
    order = {VerdictKind.FAIL: 0, VerdictKind.HOLD: 1, VerdictKind.PASS: 2}
    if wins + losses + ties >= 60:
        assert order[vote_verdict(wins + 1, losses, ties).kind] >= order[vote_verdict(wins, losses, ties).kind]


@pytest.mark.parametrize("tie_share", [0.0, 0.2, 0.5])
def test_of_2000_random_verdicts_at_most_five_percent_promote(tie_share: float) -> None:
    rng = random.Random(2026)
    promoted = 0
    for _ in range(2000):
        votes = [None if rng.random() < tie_share else rng.random() < 0.5 for _ in range(60)]
        verdict = vote_verdict(votes.count(True), votes.count(False), votes.count(None))
        promoted += verdict.kind is VerdictKind.PASS
    assert promoted <= 100


def test_negative_votes_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        vote_verdict(-1, 0, 0)
