"""How much of the whole one person may weigh.

At most max(10 %, 1.5 / people) of the weight, in each kind of rows (a method trains on one kind, so the
rule must hold there). Who weighs more is scaled down until the rule holds; that makes the whole lighter, so
others may come to weigh too much, and the rule is applied again until nothing changes. With more room than
an equal share for everyone (1.5 of it) this ends, and nobody is scaled to nothing. What one person loses
comes to the others, so that the mean weight stays.
"""

from __future__ import annotations

from collections.abc import Mapping

SHARE_FROM = 0.10
EQUAL_SHARES = 1.5


def balanced(weights: Mapping[str, float]) -> dict[str, float]:
    """`person_factors`, times what keeps the total as it was: weights keep their mean, and so do learning rates."""
    factors = person_factors(weights)
    before = sum(weights[person] for person in sorted(weights))
    after = sum(weights[person] * factors[person] for person in sorted(weights))
    return {person: factor * (before / after) for person, factor in factors.items()} if after > 0 else factors


def most_share(people: int) -> float:
    """The largest share of one of so many people; 1 and more means no limit."""
    return max(SHARE_FROM, EQUAL_SHARES / people) if people else 1.0


def person_factors(weights: Mapping[str, float]) -> dict[str, float]:
    """What each person's weight is multiplied with, in (0, 1], so that nobody has more than `most_share`.

    This is the fixed point: of k people at the limit c, each gets c of the new total T, and the others keep
    what they have, so T = (what the others have) / (1 − k·c).
    """
    positive = {person: weight for person, weight in weights.items() if weight > 0}
    limit = most_share(len(positive))
    factors = {person: 1.0 for person in weights}
    order = sorted(positive, key=lambda person: (-positive[person], person))
    rest = sum(positive[person] for person in sorted(positive))
    total = rest
    capped: list[str] = []
    for person in order:
        if positive[person] <= limit * total:
            break
        capped.append(person)
        rest -= positive[person]
        total = rest / (1.0 - len(capped) * limit)
    for person in capped:
        factors[person] = limit * total / positive[person]
    return factors
