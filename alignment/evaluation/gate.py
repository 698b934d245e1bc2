"""The gate: evidence in, a verdict with reasons out. Pure.

    guards      did the version keep what it could do, and stay close to what it was?   pass, hold, fail
    votes       did people, blind, prefer it to the incumbent?                           pass, hold, fail

What may not be done here: sampling, training, or letting a failed guard be outvoted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from alignment.evaluation.guards import Evidence, SuiteScore
from alignment.stats import binomial_tail, paired_loss_upper
from alignment.terms import VerdictKind as VerdictKind

LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Verdict:
    """A verdict and the sentences behind it, worst first."""

    kind: VerdictKind
    reasons: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a version may move. The defaults are tested on honest and on broken trainings.

    Capability in percentage points, KL in nats per answer (to the incumbent, and to the base: many small steps may
    lead no further than one), ratios and shares as fractions of 1.
    `*_rise` limits are what may be added to the incumbent's own share.
    """

    capability_questions: int = 500
    capability_loss: float = 2.0
    capability_upper: float = 4.0
    kl: float = 40.0
    length_low: float = 0.4
    length_high: float = 2.5
    repetition_rise: float = 0.1
    empty_rise: float = 0.02
    endless_rise: float = 0.05


def guard_verdict(evidence: Evidence, limits: Limits | None = None) -> Verdict:
    """Whether a version may be shown to people as a challenger.

    `fail` names every limit that was crossed; `hold` says what was not measured well enough; `pass` says
    what was measured.
    """
    limits = limits or Limits()
    failed = [*_capability(evidence, limits), *_suites_lost(evidence), *_text(evidence, limits)]
    if failed:
        return Verdict(VerdictKind.FAIL, tuple(failed))
    missing = _missing(evidence, limits)
    if missing:
        return Verdict(VerdictKind.HOLD, tuple(missing))
    return Verdict(
        VerdictKind.PASS,
        (
            *evidence.unmeasured,
            *_unfit(evidence),
            *_kept(evidence),
            f"It stayed close: KL {evidence.kl:.1f} nats per answer, {evidence.length_ratio:.2f} times as long.",
        ),
    )


def vote_verdict(wins: int, losses: int, ties: int, needed: int = 60) -> Verdict:
    """What blind votes say: one exact one-sided 5 % binomial test, once there are `needed` votes.

    Ties count as votes but not as decided ones. The test keeps its level only if it is asked once: give it
    the first `needed` votes, not a growing total. Raises `ValueError` on a negative count.
    """
    if min(wins, losses, ties) < 0 or needed < 1:
        raise ValueError("votes cannot be negative, and at least one is needed")
    votes, decided = wins + losses + ties, wins + losses
    if votes < needed:
        more = needed - votes
        return Verdict(
            VerdictKind.HOLD,
            (f"{more} more {'vote' if more == 1 else 'votes'} needed: {votes} of {needed} are in.",),
        )
    tally = f"{wins} of {decided} decided votes were for it, {ties} ties"
    better, worse = binomial_tail(wins, decided), binomial_tail(losses, decided)
    if better <= LEVEL:
        return Verdict(VerdictKind.PASS, (f"People prefer it: {tally} ({_p(better)}).",))
    if worse <= LEVEL:
        return Verdict(VerdictKind.FAIL, (f"People prefer the incumbent: {tally} ({_p(worse)}).",))
    return Verdict(VerdictKind.HOLD, (f"The votes do not decide: {tally} (p = {better:.2f}, {LEVEL} needed).",))


def _p(value: float) -> str:
    return f"p = {value:.4f}" if value >= 0.0001 else "p < 0.0001"


def _kept(evidence: Evidence) -> list[str]:
    """What it could do before and still can, by suite; of the frozen questions where those were asked."""
    asked = [(f" of {suite.name}", suite.capability) for suite in evidence.suites if suite.fits]
    if _frozen(evidence):
        asked.insert(0, ("", evidence.capability))
    return [
        f"It kept what it could do: {found.challenger:.1%} of {found.n:,} questions{name} right, "
        f"{found.incumbent:.1%} before."
        for name, found in asked
    ]


def _frozen(evidence: Evidence) -> bool:
    """Whether `capability` is that of the frozen questions, and not a suite's or nothing that could be asked."""
    return not evidence.headline and (evidence.capability.n > 0 or not (evidence.suites or evidence.unmeasured))


def _suites_lost(evidence: Evidence) -> list[str]:
    """Losses that are larger than a suite's margin, or may be twice as large.

    Where too few items were asked to tell, only a loss that is beyond chance itself (one-sided 5 %) fails.
    """
    reasons = []
    for suite in evidence.suites:
        if not suite.fits:
            continue
        allowed = (
            f"at most {suite.margin:g} are allowed, with an upper bound of {2 * suite.margin:g} ({suite.n:,} questions)"
        )
        for other, loss in (("incumbent", suite.capability.vs_incumbent), ("base", suite.capability.vs_base)):
            told = suite.enough or paired_loss_upper(loss.gained, loss.lost, loss.n) < 0
            if loss.points > suite.margin and told:
                reasons.append(f"It lost {loss.points:.1f} points of {suite.name} to the {other}; {allowed}.")
            elif loss.upper > 2 * suite.margin and suite.enough:
                reasons.append(
                    f"It may have lost up to {loss.upper:.1f} points of {suite.name} to the {other}; {allowed}."
                )
    return reasons


def _unfit(evidence: Evidence) -> list[str]:
    """Shipped suites that do not fit the model: nobody chose them, so they hold nobody up, and it is said."""
    return [
        f"Not measured: what it can do. The suite {suite.name} does not fit this model, {_like_chance(suite)}. "
        "Bring one that does with `alignloop suite add FILE`."
        for suite in evidence.suites
        if not suite.fits and not suite.chosen
    ]


def _like_chance(suite: SuiteScore) -> str:
    if not suite.n:
        return f"none of its {suite.items:,} questions can be asked of it"
    return (
        f"whose base answers {suite.capability.base:.0%} of {suite.n:,} questions right, "
        f"no more than a blind answer's {suite.chance:.0%} for certain"
    )


def _suites_missing(evidence: Evidence) -> list[str]:
    """What an operator's own suites, and shipped ones that fit, could not measure."""
    reasons = []
    for suite in evidence.suites:
        if not suite.fits and suite.chosen:
            reasons.append(f"The suite {suite.name} cannot show a loss on this model, {_like_chance(suite)}.")
        elif suite.fits and not suite.enough:
            why = "raise ALIGNLOOP_EVALUATION_MINUTES or its margin" if suite.n < suite.items else "raise its margin"
            reasons.append(
                f"The suite {suite.name} was asked with {suite.n:,} of {suite.items:,} questions; "
                f"{suite.needed:,} are needed for a margin of {suite.margin:g} points: {why}."
            )
    return reasons


def _capability(evidence: Evidence, limits: Limits) -> list[str]:
    reasons: list[str] = []
    if not _frozen(evidence):
        return reasons
    for other, loss in (("incumbent", evidence.capability.vs_incumbent), ("base", evidence.capability.vs_base)):
        if loss.n == 0:
            continue
        if loss.points > limits.capability_loss:
            reasons.append(f"It lost {loss.points:.1f} points of capability to the {other}; {_allowed(limits)}.")
        elif loss.upper > limits.capability_upper and loss.n >= limits.capability_questions:
            reasons.append(
                f"It may have lost up to {loss.upper:.1f} points of capability to the {other}; {_allowed(limits)}."
            )
    return reasons


def _allowed(limits: Limits) -> str:
    return f"at most {limits.capability_loss:g} are allowed, with an upper bound of {limits.capability_upper:g}"


def _text(evidence: Evidence, limits: Limits) -> list[str]:
    before, after = evidence.before, evidence.after
    checks = [
        (
            evidence.kl is not None and not evidence.kl <= limits.kl,
            f"It moved too far: KL to the incumbent is {evidence.kl} nats per answer, {limits.kl:g} at most.",
        ),
        (
            evidence.kl_base is not None and not evidence.kl_base <= limits.kl,
            f"Rounds moved it too far: KL to the base is {evidence.kl_base} nats per answer, {limits.kl:g} at most.",
        ),
        (
            not limits.length_low <= evidence.length_ratio <= limits.length_high,
            f"Its answers are {evidence.length_ratio:.2f} times as long as before; "
            f"between {limits.length_low:g} and {limits.length_high:g} is allowed.",
        ),
        (
            after.repetition > before.repetition + limits.repetition_rise,
            f"It repeats itself: {after.repetition:.0%} of its three-word runs are repeats, "
            f"{before.repetition:.0%} before.",
        ),
        (
            after.empty > before.empty + limits.empty_rise,
            f"{after.empty:.0%} of its answers are empty, {before.empty:.0%} before.",
        ),
        (
            after.endless > before.endless + limits.endless_rise,
            f"{after.endless:.0%} of its answers do not end, {before.endless:.0%} before.",
        ),
    ]
    return [reason for crossed, reason in checks if crossed]


def _missing(evidence: Evidence, limits: Limits) -> list[str]:
    reasons = _suites_missing(evidence)
    if _frozen(evidence) and evidence.capability.n < limits.capability_questions:
        reasons.append(
            f"Capability was asked with {evidence.capability.n} questions; {limits.capability_questions} are needed."
        )
    if evidence.kl is None:
        reasons.append("The KL to the incumbent was not measured.")
    if evidence.after.n == 0:
        reasons.append("No fresh answers were sampled.")
    return reasons
