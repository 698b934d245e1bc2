"""The reward model's losses against values worked out by hand."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from alignment.methods.reward.trainer import ordered_share, ranking_losses  # noqa: E402
from alignment.methods.shared_training.ranking_loss import bradley_terry, plackett_luce  # noqa: E402

pytestmark = pytest.mark.slow  # torch takes seconds to import


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_a_pair_without_margin_is_the_log_chance_of_the_better() -> None:
    loss = bradley_terry(tensor(2.0), tensor(1.0), tensor(0.0), tensor(1.0))
    assert loss.item() == pytest.approx(-math.log(sigmoid(1.0)))


def test_a_margin_asks_for_more_and_a_share_of_the_people_is_heard() -> None:
    loss = bradley_terry(tensor(2.0), tensor(1.5), tensor(1.0), tensor(0.75))
    assert loss.item() == pytest.approx(-0.75 * math.log(sigmoid(0.5 - 1.0)) - 0.25 * math.log(sigmoid(-0.5)))


def test_a_ranking_of_two_is_a_pair() -> None:
    scores = tensor(0.3, -0.4)
    pair = bradley_terry(scores[:1], scores[1:], tensor(0.0), tensor(1.0))
    assert plackett_luce(scores, [1, 1]).item() == pytest.approx(pair.item())


def test_a_ranking_of_three_is_two_choices() -> None:
    a, b, c = 1.0, 0.5, -0.2
    whole = math.log(sum(map(math.exp, (a, b, c))))
    rest = math.log(sum(map(math.exp, (b, c))))
    assert plackett_luce(tensor(a, b, c), [1, 1, 1]).item() == pytest.approx((whole - a) + (rest - b))


def test_the_order_inside_a_tie_does_not_matter_and_equal_scores_are_best_there() -> None:
    assert plackett_luce(tensor(1.0, 0.2, 0.6), [1, 2]).item() == pytest.approx(
        plackett_luce(tensor(1.0, 0.6, 0.2), [1, 2]).item()
    )
    equal = plackett_luce(tensor(1.0, 0.4, 0.4), [1, 2]).item()
    assert equal < plackett_luce(tensor(1.0, 0.6, 0.2), [1, 2]).item()
    scores = tensor(1.0, 0.4, 0.4).requires_grad_()
    plackett_luce(scores, [1, 2]).backward()
    assert scores.grad[1].item() == pytest.approx(scores.grad[2].item())
    assert scores.grad[0].item() < 0 < scores.grad[1].item()


def test_a_batch_of_pairs_and_rankings_gives_each_row_its_own_loss() -> None:
    scores = tensor(0.1, 0.5, 2.0, 1.0, 0.0, 1.5, -1.0)
    batch = {"ties": [[1, 1], [1, 1, 1], [1, 1]], "margin": tensor(0, 0, 0), "target": tensor(1, 1, 1)}
    losses = ranking_losses(scores, batch)
    assert losses[0].item() == pytest.approx(-math.log(sigmoid(0.1 - 0.5)))
    assert losses[1].item() == pytest.approx(plackett_luce(tensor(2.0, 1.0, 0.0), [1, 1, 1]).item())
    assert losses[2].item() == pytest.approx(-math.log(sigmoid(2.5)))


def test_order_is_judged_between_tie_groups_only() -> None:
    assert ordered_share([3.0, 1.0, 2.0], [1, 1, 1]) == pytest.approx(2 / 3)
    assert ordered_share([3.0, 1.0, 2.0], [1, 2]) == 1.0
    assert ordered_share([1.0, 1.0], [1, 1]) == 0.5
    assert ordered_share([1.0, 2.0], [2]) == 0.5
