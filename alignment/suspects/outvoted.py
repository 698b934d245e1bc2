"""Who contradicts the others on shared tasks.

On each pair of answers that at least two people judged strictly, somebody is outvoted when more of the others say
the opposite than say the same. A person's rate of that is compared with the rate of everybody else by Fisher's
exact test (one-sided, hypergeometric); from `SHARED_FROM` shared pairs on, at level 0.05 divided by the number of
people looked at (Bonferroni).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from alignment.dataset.compile.reliability import Ballots
from alignment.dataset.compile.survey import Survey
from alignment.dataset.judgement import Judgement
from alignment.suspects.flag import LEVEL, Flag

SHARED_FROM = 10
NEGLIGIBLE = 1e-18  # of a sum: what the terms that are still to come are when the sum is done


def outvoted(judgements: Iterable[Judgement]) -> list[Flag]:
    """The people whose rate of being outvoted is beyond chance, worst first. `share` is that rate."""
    survey = Survey()
    for judgement in judgements:
        survey.see(judgement)
    return outvoted_on(survey.ballots)


def outvoted_on(ballots: Ballots) -> list[Flag]:
    """The same of a survey's ballots, which a compilation has counted anyway."""
    shared, against = counted(ballots)
    looked = [person for person in sorted(shared) if shared[person] >= SHARED_FROM]
    everything, contradicted = sum(shared.values()), sum(against.values())
    found = []
    for person in looked:
        p = fisher_tail(against[person], shared[person], contradicted, everything)
        if p < LEVEL / len(looked):
            found.append(Flag(person, "outvoted", p, against[person] / shared[person], shared[person]))
    return sorted(found, key=lambda flag: (flag.p, flag.person))


def counted(ballots: Ballots) -> tuple[Counter[str], Counter[str]]:
    """How many strict verdicts each person shares with others, and in how many of these they were outvoted."""
    shared: Counter[str] = Counter()
    against: Counter[str] = Counter()
    for item in ballots.shared():
        words = {person: (sum(each) > 0) - (sum(each) < 0) for person, each in item}
        for person, word in words.items():
            others = [other for name, other in words.items() if name != person and other]
            if word and others:
                shared[person] += 1
                against[person] += word * sum(others) < 0
    return shared, against


def fisher_tail(hits: int, drawn: int, marked: int, everything: int) -> float:
    """P(X ≥ `hits`) when `drawn` of `everything` are drawn without looking and `marked` of all are hits.

    Fisher's exact test, one-sided (Fisher 1935, JRSS 98:39). Raises `ValueError` when the table is impossible.
    One term comes from logarithms and its neighbours by their ratios, so that a million verdicts take no longer than
    the terms that matter.
    """
    if not 0 <= hits <= min(drawn, marked) or max(drawn, marked) > everything or drawn - hits > everything - marked:
        raise ValueError(f"{hits} of {drawn} drawn and {marked} of {everything} is not possible")
    top = min(drawn, marked)
    likeliest = (drawn + 1) * (marked + 1) // (everything + 2)
    start = max(hits, min(likeliest, top))

    def ratio(k: int) -> float:
        """P(X = k + 1) / P(X = k)."""
        return (marked - k) * (drawn - k) / ((k + 1) * (everything - marked - drawn + k + 1))

    tail = term = 1.0  # in units of P(X = start)
    for k in range(start, top):
        term *= ratio(k)
        tail += term
        if term < tail * NEGLIGIBLE:
            break
    term = 1.0
    for k in range(start - 1, hits - 1, -1):
        term /= ratio(k)
        tail += term
        if term < tail * NEGLIGIBLE:
            break
    log_start = _log_ways(marked, start) + _log_ways(everything - marked, drawn - start) - _log_ways(everything, drawn)
    return min(1.0, math.exp(log_start) * tail)


def _log_ways(everything: int, drawn: int) -> float:
    """log of `everything` choose `drawn`."""
    return math.lgamma(everything + 1) - math.lgamma(drawn + 1) - math.lgamma(everything - drawn + 1)
