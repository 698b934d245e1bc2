"""How much an answer still says about the model of today.

DPO and KTO learn from answers as samples of the policy, and an answer of a version that has been replaced
several times is no longer one: its rows halve in weight with every three promotions. A reward model learns
what people like, whoever wrote it, so its rows do not age.
"""

from __future__ import annotations

from collections.abc import Iterable

from alignment.dataset.compile.rules import Rules

HALF_LIFE_PROMOTIONS = 3.0


def age_of(versions: Iterable[str], rules: Rules) -> float:
    """Promotions since these versions wrote, on average; 0 for a version that nothing is known about."""
    ages = [float(rules.promotions.get(version, 0)) for version in versions]
    return sum(ages) / len(ages) if ages else 0.0


def age_weight(promotions: float) -> float:
    """1 for what the served version wrote, ½ after three promotions, ¼ after six."""
    return float(0.5 ** (promotions / HALF_LIFE_PROMOTIONS))
