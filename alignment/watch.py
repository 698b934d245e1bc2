"""Is the policy still getting better, or only its reward? Blind judgements against √KL.

A reward model is a proxy: pressed far enough, it goes on rising while people like the answers less. Gao et al. 2023
(arXiv:2210.10760) find that the true gain of a policy at distance d = √KL from its start follows d·(α − β·d) or
d·(α − β·log d). Both have one peak, and written by its height and place they need two numbers, which a few dozen
judgements can tell: with u = d / d*, the log-odds that a person prefers the policy's answer to the start's are
H·u·(2 − u) or H·u·(1 − log u).

The watch keeps a posterior over (form, H, d*) on a grid. At every milestone of a run it asks for some blind
judgements; it stops the run when the peak lies behind it with probability `SURE`, spends what is left of its budget
where the answer is still open, and names the milestone to go back to. Where people do not answer it goes on with what
there is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alignment.asking import Votes

Numbers = NDArray[np.floating[Any]]

BUDGET = 100
EACH = 4  # judgements at a milestone
SURE = 0.9
HEIGHTS = tuple(0.1 * 1.4**k for k in range(13))  # log-odds at the peak, 0.1 to 5.7
PLACES = 40  # of the peak, from half the first distance to `BEYOND` times the last
BEYOND = 4.0
NOWHERE = 1e-6  # a distance that is none
FORMS = ("square", "log")


@dataclass
class Milestone:
    """A policy on the way: the step it was seen at, its KL to the start (nats per answer), its mean proxy reward.

    `wins` of `judged` blind judgements were for it and against the start; a tie is half a win. `scripted` of them were
    scripted people's. `adapter` is the folder where it can be had.
    """

    step: int
    kl: float
    proxy: float
    wins: float = 0.0
    judged: int = 0
    scripted: int = 0
    adapter: str = ""

    @property
    def distance(self) -> float:
        """√KL."""
        return math.sqrt(max(0.0, self.kl))


Judge = Callable[[Milestone, int], Votes]
"""Asks people until a milestone has so many blind judgements in all; what it has then, which may be fewer."""


@dataclass
class Watch:
    """Follows one run. `milestones` are those that were seen, in order; `done` hears that nobody is asked for now."""

    judge: Judge
    budget: int = BUDGET
    each: int = EACH
    done: Callable[[], None] = lambda: None
    milestones: list[Milestone] = field(default_factory=list)

    @property
    def spent(self) -> int:
        """Judgements so far."""
        return sum(milestone.judged for milestone in self.milestones)

    def see(self, milestone: Milestone) -> bool:
        """Judge one more milestone; whether the run should stop: its peak is behind it, or nothing is left to ask."""
        self.milestones.append(milestone)
        return self.ask()

    def ask(self) -> bool:
        """Have the last milestone judged; whether the run should stop."""
        self._ask(self.milestones[-1])
        self.done()
        return bool(self.why())

    def why(self) -> str:
        """Why the run should stop, as the end of a sentence; empty when it should go on."""
        if self.spent and (behind := self.behind()) >= SURE:
            return f"because its best policy lies behind it with a probability of {behind:.0%}"
        return f"because all {self.budget} judgements were spent" if self.spent >= self.budget else ""

    def behind(self) -> float:
        """The probability that the peak lies before the last milestone."""
        last = self.milestones[-1].distance
        return float(sum(weight[place < last].sum() for _, _, place, weight in posterior(self.milestones)))

    def choose(self) -> Milestone:
        """The milestone to go back to, after the rest of the budget is spent on those that may be it."""
        while self.spent < self.budget:
            before = self.spent
            self._ask(self.best())
            if self.spent <= before:  # nobody answers, or somebody took an answer back
                break
        self.done()
        return self.best()

    def expected(self, milestones: Iterable[Milestone]) -> list[float]:
        """For each milestone the chance that a person prefers it to the start, as far as is known."""
        known = posterior(self.milestones)
        return [
            float(sum((p * preferred(form, high, place, each.distance)).sum() for form, high, place, p in known))
            for each in milestones
        ]

    def best(self) -> Milestone:
        """The milestone that people prefer to the start most likely, as far as is known."""
        chances = self.expected(self.milestones)
        return self.milestones[max(range(len(chances)), key=lambda i: chances[i])]

    def _ask(self, milestone: Milestone) -> None:
        count = min(self.each, self.budget - self.spent)
        if count > 0:
            votes = self.judge(milestone, milestone.judged + count)
            milestone.wins, milestone.judged, milestone.scripted = votes


def preferred(form: str, height: ArrayLike, place: ArrayLike, distance: float) -> Numbers:
    """The chance that a person prefers an answer at this distance, when the peak has this height and place."""
    u = distance / np.asarray(place, dtype=float)
    shape = u * (2.0 - u) if form == "square" else u * (1.0 - np.log(np.maximum(u, 1e-300)))
    chance: Numbers = 1.0 / (1.0 + np.exp(-np.maximum(-30.0, np.asarray(height) * shape)))
    return chance


def posterior(milestones: Sequence[Milestone]) -> list[tuple[str, Numbers, Numbers, Numbers]]:
    """For each form the heights, places and probabilities of its grid, (H, P) each, after what was judged.

    Heights and places are flat on a log scale before that. All probabilities together are 1.
    """
    seen = [milestone for milestone in milestones if milestone.distance > NOWHERE]
    first = min((milestone.distance for milestone in seen), default=1.0) / 2
    last = max((milestone.distance for milestone in seen), default=1.0) * BEYOND
    height, place = np.meshgrid(HEIGHTS, np.geomspace(first, last, PLACES), indexing="ij")
    scores = []
    for form in FORMS:
        score = np.zeros(height.shape)
        for milestone in seen:
            chance = np.clip(preferred(form, height, place, milestone.distance), 1e-9, 1 - 1e-9)
            score += milestone.wins * np.log(chance) + (milestone.judged - milestone.wins) * np.log(1 - chance)
        scores.append(score)
    most = max(score.max() for score in scores)
    weights = [np.exp(score - most) for score in scores]
    total = sum(weight.sum() for weight in weights)
    return [(form, height, place, weight / total) for form, weight in zip(FORMS, weights, strict=True)]
