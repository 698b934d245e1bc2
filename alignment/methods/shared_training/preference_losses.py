"""Losses over pairs of answers. Pure functions of tensors, so that they can be checked by hand.

Every loss is made from a loss ℓ of the gap by which the chosen answer leads, and every one hears a row's target
and margin in the same way (`by_share`). What may not be done here: weighting rows, or computing log-probabilities.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import logsigmoid

from alignment.methods.shared_training.settings import Loss


@dataclass(frozen=True, slots=True)
class Pairs:
    """B pairs, each field of shape (B,).

    `chosen` and `rejected` are log-ratios, log π(y | x) − log π₀(y | x) summed over the answer's tokens, and the
    next two the numbers of these tokens. `margin` is the lead asked for, `target` the share of people who prefer
    the chosen answer.
    """

    chosen: torch.Tensor
    rejected: torch.Tensor
    chosen_tokens: torch.Tensor
    rejected_tokens: torch.Tensor
    margin: torch.Tensor
    target: torch.Tensor


def preference_loss(loss: Loss, pairs: Pairs, beta: float, flips: float) -> torch.Tensor:
    """The loss of every pair, (B,), by the name that a setting gives it. Only `robust` reads `flips`."""
    match loss:
        case "sigmoid":
            return sigmoid(pairs, beta)
        case "ipo":
            return ipo(pairs, beta)
        case "robust":
            return robust(pairs, beta, flips)
        case "length-normalised":
            return length_normalised(pairs, beta)


def sigmoid(pairs: Pairs, beta: float) -> torch.Tensor:
    """−log σ(β·(c − r)): DPO (Rafailov et al. 2023, arXiv:2305.18290, equation 7)."""
    return by_share(logistic, beta * pairs.chosen - beta * pairs.rejected, pairs.margin, pairs.target)


def ipo(pairs: Pairs, beta: float) -> torch.Tensor:
    """(c/|c| − r/|r| − 1/(2β))²: IPO (Azar et al. 2023, arXiv:2310.12036, equation 17), with β the paper's τ.

    The log-ratios are means per token, as in TRL, whose authors have that from the paper's. The lead has an aim,
    1/(2β), where DPO's has none, so what everyone agrees on is not pulled apart without end. With a target t the
    aim is (t − ½)/β, the paper's own for people who prefer the chosen answer with probability t.
    """

    def squared(gap: torch.Tensor) -> torch.Tensor:
        return (gap - 1 / (2 * beta)) ** 2

    return by_share(squared, _gap_per_token(pairs), pairs.margin, pairs.target)


def robust(pairs: Pairs, beta: float, flips: float) -> torch.Tensor:
    """((1 − ε)·ℓ(g) − ε·ℓ(−g)) / (1 − 2ε), ℓ as in `sigmoid`: robust DPO (arXiv:2403.00409), with ε = `flips`.

    Where a share ε < ½ of the labels is flipped by chance, its mean over the flips is the loss of the labels as
    they were before (Natarajan et al. 2013 for any loss; exactly so where no margin is set). That is `sigmoid`
    with the target that people would have had without flips, (t − ε) / (1 − 2ε), which may be above 1.
    """
    before = (pairs.target - flips) / (1 - 2 * flips)
    return by_share(logistic, beta * pairs.chosen - beta * pairs.rejected, pairs.margin, before)


def length_normalised(pairs: Pairs, beta: float) -> torch.Tensor:
    """−log σ(β·(c/|c| − r/|r|)): DPO over means per token, so that a long answer has no larger say than a short one.

    Lambert et al. 2024 (Tülu 3, arXiv:2411.15124, section 5); the normalisation is that of SimPO (Meng et al. 2024,
    arXiv:2405.14734), which has no reference. It needs a β larger by about the length of an answer; Tülu 3 has 5.
    """
    return by_share(logistic, beta * _gap_per_token(pairs), pairs.margin, pairs.target)


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
    """−log σ(g): the loss of Bradley and Terry (1952) and of DPO."""
    return -logsigmoid(gap)


def _gap_per_token(pairs: Pairs) -> torch.Tensor:
    return pairs.chosen / pairs.chosen_tokens - pairs.rejected / pairs.rejected_tokens
