"""The losses of pairs against values worked out by hand, and the laws that their papers prove."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from alignment.methods.dpo.settings import LOSSES, Loss  # noqa: E402
from alignment.methods.shared_training.preference_losses import (  # noqa: E402
    Pairs,
    by_share,
    ipo,
    length_normalised,
    logistic,
    preference_loss,
    robust,
    sigmoid,
)

pytestmark = pytest.mark.slow  # torch takes seconds to import

ratios = st.floats(-30, 30)
shares = st.floats(0.6, 1.0)


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def pairs_of(
    chosen: float, rejected: float, tokens: tuple[int, int] = (4, 5), *, margin: float = 0.0, target: float = 1.0
) -> Pairs:
    return Pairs(*(tensor(value) for value in (chosen, rejected, *tokens, margin, target)))


def swapped(pairs: Pairs) -> Pairs:
    return replace(
        pairs,
        chosen=pairs.rejected,
        rejected=pairs.chosen,
        chosen_tokens=pairs.rejected_tokens,
        rejected_tokens=pairs.chosen_tokens,
    )


def chance(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_by_hand() -> None:
    pairs = pairs_of(6.0, -5.0, (4, 5))  # 1.5 and −1 per token
    assert sigmoid(pairs, 0.2).item() == pytest.approx(-math.log(chance(0.2 * 11)))
    assert ipo(pairs, 0.5).item() == pytest.approx((2.5 - 1.0) ** 2)
    assert length_normalised(pairs, 2.0).item() == pytest.approx(-math.log(chance(2.0 * 2.5)))
    clean, flipped = -math.log(chance(0.2 * 11)), -math.log(chance(-0.2 * 11))
    assert robust(pairs, 0.2, 0.1).item() == pytest.approx((0.9 * clean - 0.1 * flipped) / 0.8)


def test_margins_and_targets_by_hand() -> None:
    pairs = pairs_of(6.0, -5.0, (4, 5), margin=0.5, target=0.75)
    assert sigmoid(pairs, 0.2).item() == pytest.approx(-0.75 * math.log(chance(1.7)) - 0.25 * math.log(chance(-2.2)))
    assert ipo(pairs, 0.5).item() == pytest.approx(0.75 * (2.0 - 1.0) ** 2 + 0.25 * (-2.5 - 1.0) ** 2)
    assert length_normalised(pairs, 2.0).item() == pytest.approx(
        -0.75 * math.log(chance(4.5)) - 0.25 * math.log(chance(-5.0))
    )
    for_, against = (0.75 - 0.1) / 0.8, (0.25 - 0.1) / 0.8
    assert robust(pairs, 0.2, 0.1).item() == pytest.approx(
        -for_ * math.log(chance(1.7)) - against * math.log(chance(-2.2))
    )


def test_people_on_both_sides_are_both_heard_and_the_margin_by_the_chosen_side_alone() -> None:
    loss = by_share(logistic, tensor(1.0, 1.0), tensor(0.0, 0.5), tensor(0.75, 0.75))
    other = -0.25 * math.log(chance(-1.0))
    assert loss.tolist() == pytest.approx(
        [-0.75 * math.log(chance(1.0)) + other, -0.75 * math.log(chance(0.5)) + other]
    )


@pytest.mark.parametrize("target", [0.6, 0.75, 0.9])
def test_the_best_lead_of_a_divided_pair_is_its_log_odds(target: float) -> None:
    gap = tensor(math.log(target / (1 - target))).requires_grad_()
    by_share(logistic, gap, tensor(0.0), tensor(target)).sum().backward()
    assert gap.grad.item() == pytest.approx(0.0, abs=1e-12)


@given(shares, st.floats(0.1, 2.0))
def test_the_best_lead_under_ipo_is_the_papers_for_a_preference_of_that_share(target: float, beta: float) -> None:
    best = (target - 0.5) / beta
    chosen = tensor(3 * best).requires_grad_()
    pairs = replace(pairs_of(0.0, 0.0, (3, 3), target=target), chosen=chosen)
    ipo(pairs, beta).sum().backward()
    assert chosen.grad.item() == pytest.approx(0.0, abs=1e-9)


@given(ratios, ratios, st.floats(0.0, 0.45), shares)
def test_the_mean_of_the_robust_loss_over_flips_is_the_loss_without_flips(
    chosen: float, rejected: float, flips: float, target: float
) -> None:
    pairs = pairs_of(chosen, rejected, target=target)
    mean = (1 - flips) * robust(pairs, 0.2, flips) + flips * robust(swapped(pairs), 0.2, flips)
    assert mean.item() == pytest.approx(sigmoid(pairs, 0.2).item(), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("loss", get_args(Loss))
@given(chosen=ratios, rejected=ratios, target=shares)
def test_a_divided_row_is_rows_on_either_side(loss: Loss, chosen: float, rejected: float, target: float) -> None:
    agreed = pairs_of(chosen, rejected)
    together = preference_loss(loss, replace(agreed, target=tensor(target)), 0.5, 0.1).item()
    one, other = (preference_loss(loss, side, 0.5, 0.1).item() for side in (agreed, swapped(agreed)))
    assert together == pytest.approx(target * one + (1 - target) * other, rel=1e-9, abs=1e-9)


@given(ratios, ratios, st.integers(1, 9))
def test_longer_answers_of_the_same_kind_have_the_same_normalised_loss(
    chosen: float, rejected: float, times: int
) -> None:
    short, long = pairs_of(chosen, rejected, (4, 5)), pairs_of(chosen * times, rejected * times, (4 * times, 5 * times))
    assert length_normalised(long, 5.0).item() == pytest.approx(length_normalised(short, 5.0).item(), rel=1e-9)
    assert ipo(long, 1.0).item() == pytest.approx(ipo(short, 1.0).item(), rel=1e-9)


def test_every_loss_that_can_be_named_is_one() -> None:
    assert tuple(LOSSES) == get_args(Loss)
    assert len({preference_loss(loss, pairs_of(6.0, -5.0), 0.5, 0.1).item() for loss in LOSSES}) == len(LOSSES)
