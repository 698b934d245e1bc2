"""From one score per answer to one reward per token. Pure functions of tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from alignment.methods.online.advantages import whitened


@dataclass(frozen=True, slots=True)
class Unit:
    """The reward's unit: (score − mean) / std.

    Measured on the answers of the model that training starts from, so that they have mean 0 and variance 1
    (Ziegler et al. 2019, arXiv:1909.08593, section 2.1) and the KL coefficient means the same for every
    reward model.
    """

    mean: float
    std: float

    @classmethod
    def of(cls, scores: torch.Tensor) -> Unit:
        """The unit of these scores, (B,). Answers that all score the same give a unit of 1."""
        std = float(scores.std(correction=0)) if len(scores) > 1 else 0.0
        return cls(float(scores.mean()), std if std > 1e-6 else 1.0)

    def __call__(self, scores: torch.Tensor) -> torch.Tensor:
        """Scores in this unit."""
        return (scores - self.mean) / self.std


def answer_rewards(scores: torch.Tensor, finished: torch.Tensor, *, clip: float, missing_end: float) -> torch.Tensor:
    """(B,): scores clipped to ±`clip` (0: not at all), minus `missing_end` where the model did not end its answer."""
    kept = scores.clamp(-clip, clip) if clip > 0 else scores
    return kept - missing_end * (~finished).to(scores.dtype)


def token_rewards(
    answers: torch.Tensor,
    logps: torch.Tensor,
    reference: torch.Tensor,
    mask: torch.Tensor,
    beta: float,
    *,
    whiten: bool = False,
) -> torch.Tensor:
    """(B, T): −β·(log π − log π_ref) at every token, and the answer's reward at its last one.

    Ziegler et al. 2019 (arXiv:1909.08593, equation 2), Ouyang et al. 2022 (arXiv:2203.02155, equation 2).
    `logps` and `reference` (B, T) are those of the drawn tokens; `mask` marks an answer's tokens, which begin
    at column 0 and are at least one. `whiten` scales all rewards to variance 1, keeping their mean.
    """
    mask = mask.to(logps.dtype)
    rewards = -beta * (logps - reference) * mask
    last = mask.sum(dim=1).long() - 1
    rewards = rewards.index_put((torch.arange(len(last), device=last.device), last), answers, accumulate=True)
    return whitened(rewards, mask, shift=False) if whiten else rewards


def kl_per_answer(logps: torch.Tensor, reference: torch.Tensor, mask: torch.Tensor) -> float:
    """The mean over answers of log π − log π_ref summed over their tokens: nats per answer, sampled from π."""
    return float(((logps - reference) * mask.to(logps.dtype)).sum(dim=1).mean())
