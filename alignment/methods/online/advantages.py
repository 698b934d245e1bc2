"""Advantages and returns from rewards and values. Pure functions of padded tensors (B, T)."""

from __future__ import annotations

import torch


def generalised_advantages(
    rewards: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, gamma: float, lam: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """(advantages, returns), both (B, T) and zero where `mask` is.

    Schulman et al. 2015 (arXiv:1506.02438, equation 16): δ_t = r_t + γ·V_{t+1} − V_t and
    A_t = δ_t + γλ·A_{t+1}; after an answer's last token both V and A are 0. Returns are A + V, the value's
    targets. `mask` (B, T) is 1 on an answer's tokens, which begin at column 0.
    """
    mask = mask.to(values.dtype)
    rewards, values = rewards * mask, values * mask
    advantages = torch.zeros_like(values)
    following = torch.zeros_like(values[:, 0])
    next_value = torch.zeros_like(values[:, 0])
    for t in reversed(range(values.shape[1])):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        following = (delta + gamma * lam * following) * mask[:, t]
        advantages[:, t] = following
        next_value = values[:, t]
    return advantages, (advantages + values) * mask


def whitened(numbers: torch.Tensor, mask: torch.Tensor, *, shift: bool = True) -> torch.Tensor:
    """Scaled to variance 1 over the masked entries, and to mean 0 where `shift` is set; zero elsewhere."""
    mask = mask.to(numbers.dtype)
    count = mask.sum().clamp(min=1)
    mean = (numbers * mask).sum() / count
    variance = ((numbers - mean).square() * mask).sum() / count
    scaled = (numbers - mean) * torch.rsqrt(variance + 1e-8)
    return (scaled if shift else scaled + mean) * mask
