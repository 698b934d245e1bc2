"""Is the policy still getting better, or only its reward? Blind judgements against √KL.

A reward model is a proxy: pressed far enough, it goes on rising while people like the answers less. Gao et al. 2023
(arXiv:2210.10760) find that the true gain of a policy at distance d = √KL from its start follows d·(α − β·d) or
d·(α − β·log d). Both have one peak, and written by its height and place they need two numbers, which a few dozen
judgements can tell: with u = d / d*, the log-odds that a person prefers the policy's answer to the start's are
H·u·(2 − u) or H·u·(1 − log u).

The watch keeps a posterior over (form, H, d*) on a grid. At every milestone of a run it asks for some blind
judgements; it stops the run when the peak lies behind it with probability `SURE`, spends what is left of its budget
where the answer is still open, and names the milestone to go back to. Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

BUDGET = 100
EACH = 4  # judgements at a milestone
SURE = 0.9
HEIGHTS = tuple(0.1 * 1.4**k for k in range(13))  # log-odds at the peak, 0.1 to 5.7
PLACES = 40  # of the peak, from half the first distance to `BEYOND` times the last
BEYOND = 4.0


@dataclass
class Milestone:
    """A policy on the way: the step it was seen at, its KL to the start (nats per answer), its mean proxy reward.

    `wins` of `judged` blind judgements were for it and against the start; a tie is half a win. `adapter` is the
    folder where it can be had.
    """

    step: int
    kl: float
    proxy: float
    wins: float = 0.0
    judged: int = 0
    adapter: str = ""

    @property
    def distance(self) -> float:
        """√KL."""
        return math.sqrt(max(0.0, self.kl))


Judge = Callable[[Milestone, int], float]
"""Asks people for so many blind judgements of a milestone against the start: the number of wins, ties as half."""


@dataclass
class Watch:
    """Follows one run. `milestones` are those that were seen, in order."""

    judge: Judge
    budget: int = BUDGET
    each: int = EACH
    milestones: list[Milestone] = field(default_factory=list)

    @property
    def spent(self) -> int:
        """Judgements so far."""
        return sum(milestone.judged for milestone in self.milestones)

    def see(self, milestone: Milestone) -> bool:
        """Judge one more milestone; whether the run should stop: its peak is behind it, or nothing is left to ask."""
        self.milestones.append(milestone)
        self._ask(milestone)
        return self.spent >= self.budget or self.behind() >= SURE

    def behind(self) -> float:
        """The probability that the peak lies before the last milestone."""
        last = self.milestones[-1].distance
        return sum(weight for (_, _, place), weight in self._posterior() if place < last)

    def choose(self) -> Milestone:
        """The milestone to go back to, after the rest of the budget is spent on those that may be it."""
        while self.spent < self.budget:
            before = self.spent
            self._ask(self._best())
            if self.spent == before:  # nobody answers
                break
        return self._best()

    def expected(self, milestones: Iterable[Milestone]) -> list[float]:
        """For each milestone the chance that a person prefers it to the start, as far as is known."""
        posterior = self._posterior()
        return [
            sum(weight * preferred(*curve, milestone.distance) for curve, weight in posterior)
            for milestone in milestones
        ]

    def _best(self) -> Milestone:
        chances = self.expected(self.milestones)
        return self.milestones[max(range(len(chances)), key=lambda i: chances[i])]

    def _ask(self, milestone: Milestone) -> None:
        count = min(self.each, self.budget - self.spent)
        if count > 0:
            milestone.wins += self.judge(milestone, count)
            milestone.judged += count

    def _posterior(self) -> list[tuple[tuple[str, float, float], float]]:
        return posterior(self.milestones)


def preferred(form: str, height: float, place: float, distance: float) -> float:
    """The chance that a person prefers an answer at this distance, when the peak has this height and place."""
    u = distance / place
    shape = u * (2.0 - u) if form == "square" else u * (1.0 - math.log(u)) if u > 0 else 0.0
    return 1.0 / (1.0 + math.exp(-max(-30.0, height * shape)))


def posterior(milestones: Sequence[Milestone]) -> list[tuple[tuple[str, float, float], float]]:
    """Every curve of the grid with its probability, after what was judged; heights and places flat on a log scale."""
    seen = [milestone for milestone in milestones if milestone.distance > 0]
    if not seen:
        return [(("square", height, 1.0), 1.0 / len(HEIGHTS)) for height in HEIGHTS]
    first = min(milestone.distance for milestone in seen) / 2
    last = max(milestone.distance for milestone in seen) * BEYOND
    places = [first * (last / first) ** (k / (PLACES - 1)) for k in range(PLACES)]
    curves = [(form, height, place) for form in ("square", "log") for height in HEIGHTS for place in places]
    logs = []
    for curve in curves:
        score = 0.0
        for milestone in seen:
            chance = min(1 - 1e-9, max(1e-9, preferred(*curve, milestone.distance)))
            score += milestone.wins * math.log(chance) + (milestone.judged - milestone.wins) * math.log(1 - chance)
        logs.append(score)
    most = max(logs)
    weights = [math.exp(each - most) for each in logs]
    total = sum(weights)
    return [(curve, weight / total) for curve, weight in zip(curves, weights, strict=True)]
