"""The few statistics the gate rests on. Standard library only; every function says where it comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass

ONE_SIDED_95 = 1.6448536269514722  # the normal quantile at 0.95
TWO_SIDED_95 = 1.959963984540054  # the normal quantile at 0.975


def binomial_tail(successes: int, trials: int) -> float:
    """Exact P(X ≥ successes) for X binomial with `trials` fair coins. 1 when there are no trials.

    Raises `ValueError` unless 0 ≤ successes ≤ trials.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials is not possible")
    return float(sum(math.comb(trials, k) for k in range(successes, trials + 1)) / 2**trials)


def wilson_interval(successes: float, trials: int, z: float = TWO_SIDED_95) -> tuple[float, float]:
    """Wilson's score interval for a proportion (Wilson 1927, JASA 22:209); (0, 1) when there are no trials.

    `successes` may hold halves, so that a tie counts as half a win.
    """
    if trials == 0:
        return (0.0, 1.0)
    share = successes / trials
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    centre = share + z * z / (2 * trials)
    scale = 1 + z * z / trials
    # The share lies inside by construction; rounding must not push it out at 0 and 1.
    return (max(0.0, min(share, (centre - spread) / scale)), min(1.0, max(share, (centre + spread) / scale)))


@dataclass(frozen=True, slots=True)
class Tally:
    """Comparisons of one thing with another, from the first one's side."""

    wins: int = 0
    losses: int = 0
    ties: int = 0

    @property
    def n(self) -> int:
        """How many comparisons there are."""
        return self.wins + self.losses + self.ties

    @property
    def decided(self) -> int:
        """How many are no tie."""
        return self.wins + self.losses

    @property
    def score(self) -> float:
        """Wins, with ties as half."""
        return self.wins + self.ties / 2

    @property
    def win_rate(self) -> float:
        """The share that was won, ties as half; ½ when there are none."""
        return self.score / self.n if self.n else 0.5

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of `win_rate`."""
        return wilson_interval(self.score, self.n)


def paired_loss_upper(lost: int, gained: int, trials: int, z: float = ONE_SIDED_95) -> float:
    """Upper confidence bound on a paired loss, as a share: p(lost) − p(gained).

    `lost` counts questions that the older model got right and the newer one wrong, `gained` the reverse;
    the concordant ones only enter through `trials`. Tango's score bound (Tango 1998, Statistics in
    Medicine 17:891, equations 9–11), which keeps its level for few discordant pairs where Wald's does not.
    With the default z it is the one-sided 95 % bound. 1 when there are no trials.
    """
    if lost < 0 or gained < 0 or lost + gained > trials:
        raise ValueError(f"{lost} lost and {gained} gained of {trials} is not possible")
    if trials == 0:
        return 1.0
    low, high = (lost - gained) / trials, 1.0
    for _ in range(60):  # halving 60 times is far below float precision of a share
        middle = (low + high) / 2
        if _tango_score(lost, gained, trials, middle) > -z:
            low = middle
        else:
            high = middle
    return high


def _tango_score(lost: int, gained: int, n: int, delta: float) -> float:
    """Tango's standardised distance of the observed loss from `delta`, with the nuisance share at its MLE."""
    a = 2.0 * n
    b = -lost - gained + (2 * n - lost + gained) * delta
    c = -gained * delta * (1 - delta)
    q = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = n * (2 * q + delta * (1 - delta))
    distance = lost - gained - n * delta
    if variance <= 0:
        return 0.0 if distance == 0 else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)
