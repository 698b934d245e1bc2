"""Verdicts that made no pair, or fewer than they could: named, so that a round can show them.

The compilation leaves such answers out by its own rules (`alignment.dataset.compile.pairs`) and counts them; here the
judgements behind them get a name. What is not done here: deciding what becomes a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations

from alignment.dataset.compile.ranked_groups import usable
from alignment.dataset.compile.text import same_answer
from alignment.dataset.judgement import Judgement
from alignment.dataset.left_out import LeftOut, Reason, Unusable


def named(judgements: Iterable[Judgement], left: LeftOut) -> Iterator[Judgement]:
    """The same judgements; those that lost a pair are counted in `left` on their way, with their ids."""
    for judgement in judgements:
        reason = unfit(judgement)
        if reason is not None:
            left.add(Unusable(reason), [judgement.id])
        yield judgement


def unfit(judgement: Judgement) -> Reason | None:
    """Why a ranking of answers (an A/B vote is one) has two of which no pair was made; None where all became pairs."""
    if judgement.cannot_judge or not judgement.trains:
        return None
    ranked = sorted((each for each in judgement.candidates if each.rank is not None), key=lambda each: each.rank or 0)
    pairs = [(better, worse) for better, worse in combinations(ranked, 2) if better.rank != worse.rank]
    if any(each.excluded is None and not usable(each) for pair in pairs for each in pair):
        return Reason.NOT_FINISHED
    if any(same_answer(better.text, worse.text) for better, worse in pairs):
        return Reason.SAME_ANSWERS
    return Reason.EMPTY if any(not better.text.strip() for better, _ in pairs) else None
