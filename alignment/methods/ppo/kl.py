"""The coefficient of the KL penalty: fixed, or steered towards a target. No training library is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Controller(Protocol):
    """Holds the coefficient β of the penalty −β·(log π − log π_ref) that every token pays."""

    beta: float
    """The coefficient for the next rollouts."""

    def saw(self, kl: float) -> None:
        """Take the mean KL to the reference, nats per answer, of the last rollouts."""
        ...


@dataclass(slots=True)
class FixedController:
    """β stays."""

    beta: float

    def saw(self, kl: float) -> None:
        """Nothing changes."""


@dataclass(slots=True)
class AdaptiveController:
    """β follows the KL (Ziegler et al. 2019, arXiv:1909.08593, section 2.2).

    e = clip((KL − target) / target, −0.2, 0.2) and β ← β·(1 + K·e), once per step; the paper's K is 0.1.
    """

    beta: float
    target: float
    gain: float = 0.1

    def saw(self, kl: float) -> None:
        """Raise β when the policy is further than the target, lower it when nearer."""
        error = min(0.2, max(-0.2, (kl - self.target) / self.target))
        self.beta *= 1 + self.gain * error


def controller(beta: float, target: float, gain: float) -> Controller:
    """Adaptive when there is a target above 0, else fixed."""
    return AdaptiveController(beta, target, gain) if target > 0 else FixedController(beta)
