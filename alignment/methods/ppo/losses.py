"""The losses of PPO over padded tensors (B, T), each a mean over the masked tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class PolicyLoss:
    """`loss` is a scalar with gradient; `clipped` the share of tokens whose ratio was cut.

    `drift` estimates KL(old ‖ new) in nats per token (k3 of Schulman 2020: ratio − 1 − log ratio, never negative).
    """

    loss: torch.Tensor
    clipped: float
    drift: float


def policy_loss(
    logps: torch.Tensor,
    old: torch.Tensor,
    advantages: torch.Tensor,
    mask: torch.Tensor,
    clip: float,
    tokens: float | None = None,
) -> PolicyLoss:
    """−mean of min(ρ·A, clamp(ρ, 1 − ε, 1 + ε)·A), ρ = π/π_old (Schulman et al. 2017, arXiv:1707.06347, equation 7).

    `tokens` replaces the number of masked tokens as the divisor, for a part of a minibatch.
    """
    mask = mask.to(logps.dtype)
    count = mask.sum() if tokens is None else torch.as_tensor(tokens, dtype=logps.dtype, device=logps.device)
    difference = (logps - old) * mask
    ratio = difference.exp()
    plain, cut = ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages
    loss = -(torch.minimum(plain, cut) * mask).sum() / count
    with torch.no_grad():
        here = mask.sum().clamp(min=1)
        clipped = float(((cut < plain).to(mask.dtype) * mask).sum() / here)
        drift = float(((ratio - 1 - difference) * mask).sum() / here)
    return PolicyLoss(loss, clipped, drift)


def value_loss(
    values: torch.Tensor,
    old: torch.Tensor,
    returns: torch.Tensor,
    mask: torch.Tensor,
    clip: float,
    tokens: float | None = None,
) -> torch.Tensor:
    """½·mean of max((V − R)², (clamp(V, V_old ± ε) − R)²); with `clip` 0 the values are not clipped.

    The form of Ziegler et al. 2019 (arXiv:1909.08593) and of the PPO implementations before it.
    """
    mask = mask.to(values.dtype)
    count = mask.sum() if tokens is None else torch.as_tensor(tokens, dtype=values.dtype, device=values.device)
    squares = (values - returns).square()
    if clip > 0:
        near = torch.minimum(torch.maximum(values, old - clip), old + clip)
        squares = torch.maximum(squares, (near - returns).square())
    return 0.5 * (squares * mask).sum() / count
