"""What a version lost of a suite: right and wrong answers counted, in all and by category. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from alignment.evaluation.guards import SuiteScore, capability_of
from alignment.evaluation.suites.asking import Answered
from alignment.evaluation.suites.items import Suite, needed
from alignment.stats import wilson_interval


def score_suite(suite: Suite, answered: Answered, challenger: str, incumbent: str, base: str) -> SuiteScore:
    """The score over the items that all three versions answered."""
    names = (challenger, incumbent, base)
    items = answered.of_all(suite.items, names)
    mine, before, roots = ([bool(answered.rights[name][item.id]) for item in items] for name in names)
    return SuiteScore(
        name=suite.name,
        hash=suite.hash,
        chosen=suite.chosen,
        margin=suite.margin,
        items=len(suite.items),
        n=len(items),
        needed=needed(suite.margin),
        left_out=_left_out(suite, answered, names),
        chance=fmean(item.chance for item in items) if items else 0.0,
        interval=wilson_interval(sum(mine), len(items)),
        base_low=wilson_interval(sum(roots), len(items))[0],
        capability=capability_of(
            [item.category for item in items], mine, before, roots, chances=[item.chance for item in items]
        ),
    )


def _left_out(suite: Suite, answered: Answered, names: Sequence[str]) -> int:
    """Items that were tried and cannot be asked of this model."""
    return sum(
        any(item.id in (found := answered.rights.get(name, {})) and found[item.id] is None for name in names)
        for item in suite.items
    )
