"""Is the policy still getting better, or only its reward? Blind judgements against √KL.

A reward model is a proxy: pressed far enough, it goes on rising while people like the answers less. Gao et al. 2023
(arXiv:2210.10760) find that the true gain of a policy that reinforcement learning moved to distance d = √KL from its
start follows d·(α − β·log d). That has one peak, and written by its height and place it needs two numbers, which a
few dozen judgements can tell: with u = d / d*, the log-odds that a person prefers the policy's answer to the start's
are H·u·(1 − log u).

The watch keeps a posterior over (H, d*) on a grid. At every milestone of a run it asks for some blind
judgements; it stops the run when the peak lies behind it with probability `SURE`, spends what is left of its budget
where the answer is still open, until one milestone is the best with that probability, and names it. Where people do
not answer it goes on with what there is.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alignment.stage.people_channel import Votes

Numbers = NDArray[np.floating[Any]]

BUDGET = 100
EACH = 4  # judgements at a milestone
SURE = 0.9
HEIGHTS = tuple(0.1 * 1.4**k for k in range(13))  # log-odds at the peak, 0.1 to 5.7
PLACES = 40  # of the peak, from half the first distance to `BEYOND` times the last
BEYOND = 4.0
NOWHERE = 1e-6  # a distance that is none


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
        _, place, weight = posterior(self.milestones)
        return float(weight[place < last].sum())

    def choose(self) -> Milestone:
        """The milestone to go back to, after asking about those that may be it until one is, or the budget is spent.

        Each is asked about as often as it may be the best (posterior sampling, Thompson 1933, Biometrika 25:285):
        always asking about the likeliest leaves the others unknown, and then more judgements do not help.
        """
        while self.spent < self.budget:
            chances = self.chances_of_best()
            if max(chances) >= SURE:
                break
            before = self.spent
            # Drawn from what was spent, so that a run that was killed here goes on as it would have.
            self._ask(random.Random(before).choices(self.milestones, chances)[0])
            if self.spent <= before:  # nobody answers, or somebody took an answer back
                break
        self.done()
        return self.best()

    def chances_of_best(self) -> list[float]:
        """For each milestone the probability that people prefer it to the start more often than any other."""
        height, place, weight = posterior(self.milestones)
        each = np.stack([preferred(height, place, milestone.distance) for milestone in self.milestones])
        chances = np.bincount(each.argmax(axis=0).ravel(), weight.ravel(), minlength=len(each))
        return [float(chance) for chance in chances]

    def expected(self, milestones: Iterable[Milestone]) -> list[float]:
        """For each milestone the chance that a person prefers it to the start, as far as is known."""
        height, place, weight = posterior(self.milestones)
        return [float((weight * preferred(height, place, each.distance)).sum()) for each in milestones]

    def best(self) -> Milestone:
        """The milestone that people prefer to the start most likely, as far as is known."""
        chances = self.expected(self.milestones)
        return self.milestones[max(range(len(chances)), key=lambda i: chances[i])]

    def _ask(self, milestone: Milestone) -> None:
        count = min(self.each, self.budget - self.spent)
        if count > 0:
            votes = self.judge(milestone, milestone.judged + count)
            milestone.wins, milestone.judged, milestone.scripted = votes


def preferred(height: ArrayLike, place: ArrayLike, distance: float) -> Numbers:
    """The chance that a person prefers an answer at this distance, when the peak has this height and place."""
    u = distance / np.asarray(place, dtype=float)
    shape = u * (1.0 - np.log(np.maximum(u, 1e-300)))
    chance: Numbers = 1.0 / (1.0 + np.exp(-np.maximum(-30.0, np.asarray(height) * shape)))
    return chance


def posterior(milestones: Sequence[Milestone]) -> tuple[Numbers, Numbers, Numbers]:
    """The heights, places and probabilities of a grid, (H, P) each, after what was judged.

    Heights and places are flat on a log scale before that. All probabilities together are 1.
    """
    seen = [milestone for milestone in milestones if milestone.distance > NOWHERE]
    first = min((milestone.distance for milestone in seen), default=1.0) / 2
    last = max((milestone.distance for milestone in seen), default=1.0) * BEYOND
    height, place = np.meshgrid(HEIGHTS, np.geomspace(first, last, PLACES), indexing="ij")
    score = np.zeros(height.shape)
    for milestone in seen:
        chance = np.clip(preferred(height, place, milestone.distance), 1e-9, 1 - 1e-9)
        score += milestone.wins * np.log(chance) + (milestone.judged - milestone.wins) * np.log(1 - chance)
    weight = np.exp(score - score.max())
    return height, place, weight / weight.sum()
