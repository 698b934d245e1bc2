"""Losses over pairs of answers. Pure functions of tensors, so that they can be checked by hand.

What may not be done here: weighting rows, or computing log-probabilities.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.functional import logsigmoid


def by_share(
    loss: Callable[[torch.Tensor], torch.Tensor], gap: torch.Tensor, margin: torch.Tensor, target: torch.Tensor
) -> torch.Tensor:
    """t·ℓ(g − m) + (1 − t)·ℓ(−g), per pair; all of shape (B,).

    `gap` is by how much the chosen answer leads and `target` the share of people on its side: the label is as
    soft as people were divided (Mitchell 2023, "A note on DPO with noisy preferences & relationship to IPO",
    where t is 1 − ε). The margin is asked of the chosen one's share alone. With the logistic loss the best gap
    is log(t / (1 − t)), so a divided row is an aim and not only a weaker push.
    """
    return target * loss(gap - margin) + (1 - target) * loss(-gap)


def logistic(gap: torch.Tensor) -> torch.Tensor:
    """−log σ(g): the loss of Bradley and Terry (1952) and of DPO (arXiv:2305.18290, equation 7)."""
    return -logsigmoid(gap)
