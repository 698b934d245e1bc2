"""The losses of pairs against values worked out by hand."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from alignment.methods.preference_losses import by_share, logistic  # noqa: E402

pytestmark = pytest.mark.slow  # torch takes seconds to import


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_people_on_both_sides_are_both_heard_and_the_margin_by_the_chosen_side_alone() -> None:
    loss = by_share(logistic, tensor(1.0, 1.0), tensor(0.0, 0.5), tensor(0.75, 0.75))
    other = -0.25 * math.log(sigmoid(-1.0))
    assert loss.tolist() == pytest.approx(
        [-0.75 * math.log(sigmoid(1.0)) + other, -0.75 * math.log(sigmoid(0.5)) + other]
    )


@pytest.mark.parametrize("target", [0.6, 0.75, 0.9])
def test_the_best_lead_of_a_divided_pair_is_its_log_odds(target: float) -> None:
    gap = tensor(math.log(target / (1 - target))).requires_grad_()
    by_share(logistic, gap, tensor(0.0), tensor(target)).sum().backward()
    assert gap.grad.item() == pytest.approx(0.0, abs=1e-12)
