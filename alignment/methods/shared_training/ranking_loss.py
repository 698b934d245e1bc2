"""Losses of a reward model over scores: Bradley–Terry for two answers, Plackett–Luce for more.

Pure functions of tensors, so that they can be checked by hand. What may not be done here: scoring answers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from alignment.methods.shared_training.preference_losses import by_share, logistic


def bradley_terry(
    better: torch.Tensor, worse: torch.Tensor, margin: torch.Tensor, target: torch.Tensor
) -> torch.Tensor:
    """−t·log σ(b − w − m) − (1 − t)·log σ(w − b), per pair; all of shape (B,).

    Bradley and Terry 1952, with the margin of Touvron et al. 2023 (arXiv:2307.09288, equation 2). `target` is
    the share of people on the better's side: below 1 the margin is asked of that share alone.
    """
    return by_share(logistic, better - worse, margin, target)


def plackett_luce(scores: torch.Tensor, ties: Sequence[int]) -> torch.Tensor:
    """Negative log-likelihood of one ranking, a scalar. `scores` (k,) are in order, the best group first.

    Plackett 1975: the best is chosen from all with probability softmax, the next from the rest, and so on.
    A tie-group of m answers is handled as Breslow does for equal event times (1974, Biometrics 30:89): its
    members are each chosen from the same rest, itself included, so that equal scores are the best for a
    group of ties and the order within it does not matter. For two answers it is Bradley–Terry.
    """
    loss = scores.new_zeros(())
    start = 0
    for size in ties:
        rest = scores[start:]
        # A last single answer is chosen from itself alone: log 1.
        loss = loss + size * torch.logsumexp(rest, dim=0) - rest[:size].sum()
        start += size
    return loss
