"""Whose corrections the others do not prefer.

A correction that at least one other person compared with its original is confirmed when one of them prefers it. Were
it no better than the original, half of them would be by chance; an account with `REVIEWED_FROM` reviewed corrections
is named where fewer are than that chance makes likely (binomial, one-sided), at level 0.05 divided by the number of
accounts looked at.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import permutations

from alignment.dataset.compile.survey import context_digest
from alignment.dataset.judgement import Judgement, Kind
from alignment.suspects.flag import LEVEL, Flag

REVIEWED_FROM = 10

Correction = tuple[bytes, str, str]  # context, original, corrected


@dataclass
class Corrections:
    """A first look: what was rewritten, and by whom."""

    authors: defaultdict[Correction, set[str]] = field(default_factory=lambda: defaultdict(set))

    def see(self, judgement: Judgement) -> None:
        """One judgement more, in any order."""
        written = [candidate for candidate in judgement.candidates if candidate.correction]
        if written and _counts(judgement):
            digest = context_digest(judgement.context)
            for candidate in written:
                self.authors[digest, candidate.text, candidate.correction or ""].add(judgement.person)


def unconfirmed(judgements: Callable[[], Iterable[Judgement]]) -> list[Flag]:
    """`unconfirmed_among` from all judgements, which each call gives anew."""
    corrections = Corrections()
    for judgement in judgements():
        corrections.see(judgement)
    return unconfirmed_among(corrections, judgements())


def unconfirmed_among(corrections: Corrections, judgements: Iterable[Judgement]) -> list[Flag]:
    """The people whose corrections are confirmed less often than by chance, worst first; `share`: how many are not.

    `judgements` are all of them again, in any order, so that only what was said of corrections is held; they are not
    looked at where nothing was rewritten.
    """
    written = corrections.authors
    said: defaultdict[Correction, dict[str, bool]] = defaultdict(dict)
    for judgement in judgements if written else ():
        if judgement.kind is not Kind.COMPARE or not _counts(judgement):
            continue
        digest = context_digest(judgement.context)
        for one, other in permutations(judgement.candidates, 2):
            key = (digest, other.text, one.text)
            if key in written:
                said[key][judgement.person] = (one.rank or 0) < (other.rank or 0)
    reviewed: defaultdict[str, list[bool]] = defaultdict(list)  # by author: whether each correction was confirmed
    for key, authors in written.items():
        for author in authors:
            words = [better for person, better in said[key].items() if person != author]
            if words:
                reviewed[author].append(any(words))
    looked = {person: each for person, each in reviewed.items() if len(each) >= REVIEWED_FROM}
    found = []
    for person, each in looked.items():
        refused = len(each) - sum(each)
        p = sum(math.comb(len(each), k) for k in range(refused, len(each) + 1)) / 2 ** len(each)
        if p < LEVEL / len(looked):
            found.append(Flag(person, "unconfirmed", p, refused / len(each), len(each)))
    return sorted(found, key=lambda flag: (flag.p, flag.person))


def _counts(judgement: Judgement) -> bool:
    return judgement.trains and not judgement.cannot_judge
