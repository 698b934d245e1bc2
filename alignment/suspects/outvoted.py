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

from alignment.compile.survey import Survey
from alignment.judgement import Judgement
from alignment.suspects.flag import LEVEL, Flag

SHARED_FROM = 10


def outvoted(judgements: Iterable[Judgement]) -> list[Flag]:
    """The people whose rate of being outvoted is beyond chance, worst first. `share` is that rate."""
    survey = Survey()
    for judgement in judgements:
        survey.see(judgement)
    shared: Counter[str] = Counter()
    against: Counter[str] = Counter()
    for item in survey.ballots.shared():
        words = {person: (sum(each) > 0) - (sum(each) < 0) for person, each in item}
        for person, word in words.items():
            others = [other for name, other in words.items() if name != person and other]
            if word and others:
                shared[person] += 1
                against[person] += word * sum(others) < 0
    looked = [person for person in sorted(shared) if shared[person] >= SHARED_FROM]
    everything, contradicted = sum(shared.values()), sum(against.values())
    found = []
    for person in looked:
        p = fisher_tail(against[person], shared[person], contradicted, everything)
        if p < LEVEL / len(looked):
            found.append(Flag(person, "outvoted", p, against[person] / shared[person], shared[person]))
    return sorted(found, key=lambda flag: (flag.p, flag.person))


def fisher_tail(hits: int, drawn: int, marked: int, everything: int) -> float:
    """P(X ≥ `hits`) when `drawn` of `everything` are drawn without looking and `marked` of all are hits.

    Fisher's exact test, one-sided (Fisher 1935, JRSS 98:39). Raises `ValueError` when the table is impossible.
    """
    if not 0 <= hits <= min(drawn, marked) or max(drawn, marked) > everything or drawn - hits > everything - marked:
        raise ValueError(f"{hits} of {drawn} drawn and {marked} of {everything} is not possible")
    ways = math.comb(everything, drawn)
    return (
        sum(
            math.comb(marked, k) * math.comb(everything - marked, drawn - k)
            for k in range(hits, min(drawn, marked) + 1)
        )
        / ways
    )
