"""PPO's arithmetic against values worked out by hand, and laws that it must keep."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from alignment.methods.online.advantages import generalised_advantages, whitened  # noqa: E402
from alignment.methods.online.rewards import Unit, answer_rewards, kl_per_answer, token_rewards  # noqa: E402
from alignment.methods.ppo.kl import AdaptiveController, FixedController, controller  # noqa: E402
from alignment.methods.ppo.losses import policy_loss, value_loss  # noqa: E402

pytestmark = pytest.mark.slow  # torch takes seconds to import

_numbers = st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=6)


def tensor(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_advantages_of_three_tokens_by_hand() -> None:
    # δ₃ = 1 − 0.4 = 0.6; δ₂ = 0.9·0.4 − 0.2 = 0.16; δ₁ = 0.9·0.2 − 0.5 = −0.32; γλ = 0.45
    advantages, returns = generalised_advantages(
        tensor([0.0, 0.0, 1.0]), tensor([0.5, 0.2, 0.4]), tensor([1, 1, 1]), gamma=0.9, lam=0.5
    )
    third = 0.6
    second = 0.16 + 0.45 * third
    first = -0.32 + 0.45 * second
    assert advantages[0].tolist() == pytest.approx([first, second, third])
    assert returns[0].tolist() == pytest.approx([first + 0.5, second + 0.2, third + 0.4])


def test_padding_after_an_answer_changes_nothing_and_stays_zero() -> None:
    rewards, values = tensor([0.1, 1.0, 9.0]), tensor([0.5, 0.2, 7.0])
    padded, returns = generalised_advantages(rewards, values, tensor([1, 1, 0]), gamma=1.0, lam=0.95)
    alone, _ = generalised_advantages(rewards[:, :2], values[:, :2], tensor([1, 1]), gamma=1.0, lam=0.95)
    assert padded[0, :2].tolist() == pytest.approx(alone[0].tolist())
    assert (padded[0, 2].item(), returns[0, 2].item()) == (0.0, 0.0)


@given(rewards=_numbers, seed=st.integers(0, 99))
def test_with_lambda_one_and_gamma_one_returns_are_the_sums_of_what_follows(rewards: list[float], seed: int) -> None:
    values = torch.randn(1, len(rewards), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    _, returns = generalised_advantages(tensor(rewards), values, torch.ones(1, len(rewards)), gamma=1.0, lam=1.0)
    expected = [sum(rewards[t:]) for t in range(len(rewards))]
    assert returns[0].tolist() == pytest.approx(expected, abs=1e-5)


def test_whitening_sees_the_masked_entries_alone() -> None:
    numbers, mask = tensor([1.0, 3.0, 100.0]), tensor([1, 1, 0])
    assert whitened(numbers, mask)[0].tolist() == pytest.approx([-1.0, 1.0, 0.0], abs=1e-6)
    assert whitened(numbers, mask, shift=False)[0].tolist() == pytest.approx([1.0, 3.0, 0.0], abs=1e-6)


def test_the_ratio_is_cut_where_that_makes_the_loss_worse() -> None:
    logps, old = tensor([math.log(1.5), math.log(1.5), math.log(0.5)]), tensor([0.0, 0.0, 0.0])
    outcome = policy_loss(logps, old, tensor([1.0, -1.0, -1.0]), tensor([1, 1, 1]), clip=0.2)
    # 1.5·1 is cut to 1.2; 1.5·(−1) stays; 0.5·(−1) is cut to −0.8
    assert outcome.loss.item() == pytest.approx(-(1.2 - 1.5 - 0.8) / 3)
    assert outcome.clipped == pytest.approx(2 / 3)
    k3 = [0.5 - math.log(1.5), 0.5 - math.log(1.5), -0.5 - math.log(0.5)]
    assert outcome.drift == pytest.approx(sum(k3) / 3)


def test_a_cut_token_has_no_gradient_and_an_unmasked_one_none_either() -> None:
    logps = tensor([math.log(1.5), 0.0, 0.0]).requires_grad_()
    policy_loss(logps, tensor([0.0, 0.0, 0.0]), tensor([1.0, 2.0, 5.0]), tensor([1, 1, 0]), clip=0.2).loss.backward()
    assert logps.grad[0].tolist() == pytest.approx([0.0, -2.0 / 2, 0.0])


def test_parts_of_a_minibatch_add_up_to_the_whole() -> None:
    generator = torch.Generator().manual_seed(1)
    logps, old, advantages = (torch.randn(4, 3, generator=generator, dtype=torch.float64) for _ in range(3))
    mask = tensor([1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 1, 1])
    whole = policy_loss(logps, old, advantages, mask, 0.2).loss.item()
    parts = [
        policy_loss(logps[r], old[r], advantages[r], mask[r], 0.2, tokens=9.0).loss.item() for r in ([0, 1], [2, 3])
    ]
    assert sum(parts) == pytest.approx(whole)
    whole = value_loss(logps, old, advantages, mask, 0.2).item()
    parts = [value_loss(logps[r], old[r], advantages[r], mask[r], 0.2, tokens=9.0).item() for r in ([0, 1], [2, 3])]
    assert sum(parts) == pytest.approx(whole)


def test_the_value_loss_takes_the_worse_of_the_clipped_and_the_plain_square() -> None:
    values, old, returns = tensor([1.0, 0.1]), tensor([0.0, 0.0]), tensor([1.0, 1.0])
    # first: plain 0, clipped (0.2 − 1)² = 0.64; second: within the range, (0.1 − 1)² = 0.81
    assert value_loss(values, old, returns, tensor([1, 1]), 0.2).item() == pytest.approx(0.5 * (0.64 + 0.81) / 2)
    assert value_loss(values, old, returns, tensor([1, 1]), 0.0).item() == pytest.approx(0.5 * 0.81 / 2)


def test_every_token_pays_its_kl_and_the_last_gets_the_reward() -> None:
    logps, reference = tensor([-1.0, -2.0, -9.0]), tensor([-1.5, -1.0, -1.0])
    rewards = token_rewards(tensor([2.0])[0], logps, reference, tensor([1, 1, 0]), beta=0.1)
    assert rewards[0].tolist() == pytest.approx([-0.05, 0.1 + 2.0, 0.0])
    assert kl_per_answer(logps, reference, tensor([1, 1, 0])) == pytest.approx(0.5 - 1.0)


def test_rewards_are_in_the_starting_models_unit_clipped_and_lowered_without_an_end() -> None:
    unit = Unit.of(torch.tensor([1.0, 3.0]))
    assert (unit.mean, unit.std) == (2.0, 1.0)
    scores = unit(torch.tensor([3.0, 12.0]))
    assert answer_rewards(scores, torch.tensor([True, False]), clip=5.0, missing_end=1.5).tolist() == [1.0, 3.5]
    assert answer_rewards(scores, torch.tensor([True, False]), clip=0.0, missing_end=0.0).tolist() == [1.0, 10.0]


def test_two_answers_of_different_length_from_log_probabilities_to_advantages_by_hand() -> None:
    logps, reference = tensor([-1.0, -2.0], [-0.5, -9.0]), tensor([-1.5, -1.0], [-1.0, -9.0])
    values, mask = tensor([0.5, 0.2], [0.1, 7.0]), tensor([1, 1], [1, 0])
    rewards = token_rewards(tensor([2.0, -1.0])[0], logps, reference, mask, beta=0.1)
    # each answer's reward stands at its own last token: 0.1·1 + 2, and −0.1·0.5 − 1
    assert rewards.flatten().tolist() == pytest.approx([-0.05, 2.1, -1.05, 0.0])
    advantages, returns = generalised_advantages(rewards, values, mask, gamma=1.0, lam=0.95)
    # δ₂ = 2.1 − 0.2 = 1.9; A₁ = −0.05 + 0.2 − 0.5 + 0.95·1.9 = 1.455; the other answer's only δ = −1.05 − 0.1
    assert advantages.flatten().tolist() == pytest.approx([1.455, 1.9, -1.15, 0.0])
    assert returns.flatten().tolist() == pytest.approx([1.955, 2.1, -1.05, 0.0])
    # mean 0.735, variance (0.72² + 1.165² + 1.885²)/3 = 1.80962
    assert whitened(advantages, mask).flatten().tolist() == pytest.approx([0.53523, 0.86603, -1.40126, 0.0], abs=1e-5)
    assert kl_per_answer(logps, reference, mask) == pytest.approx((-0.5 + 0.5) / 2)


@given(rewards=_numbers, seed=st.integers(0, 99), gamma=st.floats(0, 1), lam=st.floats(0, 1))
def test_an_advantage_is_the_discounted_sum_of_all_later_errors(
    rewards: list[float], seed: int, gamma: float, lam: float
) -> None:
    count = len(rewards)
    values = torch.randn(1, count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found, _ = generalised_advantages(tensor(rewards), values, torch.ones(1, count), gamma=gamma, lam=lam)
    after = [*values[0].tolist()[1:], 0.0]
    errors = [rewards[t] + gamma * after[t] - float(values[0, t]) for t in range(count)]
    expected = [sum((gamma * lam) ** (k - t) * errors[k] for k in range(t, count)) for t in range(count)]
    assert found[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_before_the_first_update_every_ratio_is_one() -> None:
    logps = tensor([-1.0, -2.5], [-0.1, -3.0]).requires_grad_()
    outcome = policy_loss(logps, logps.detach(), tensor([1.0, -2.0], [4.0, 9.0]), tensor([1, 1], [1, 0]), clip=0.2)
    assert outcome.loss.item() == pytest.approx(-(1 - 2 + 4) / 3)
    assert (outcome.clipped, outcome.drift) == (0.0, 0.0)
    outcome.loss.backward()
    assert logps.grad.flatten().tolist() == pytest.approx([-1 / 3, 2 / 3, -4 / 3, 0.0])


def test_scores_that_are_all_alike_have_a_unit_too() -> None:
    assert Unit.of(torch.tensor([4.0, 4.0])) == Unit(4.0, 1.0)


def test_the_adaptive_controller_follows_the_paper() -> None:
    steered = AdaptiveController(beta=0.2, target=6.0, gain=0.1)
    steered.saw(6.6)  # e = 0.1
    assert steered.beta == pytest.approx(0.2 * 1.01)
    steered.saw(60.0)  # e is cut to 0.2
    assert steered.beta == pytest.approx(0.2 * 1.01 * 1.02)
    steered.saw(0.0)  # e is cut to −0.2
    assert steered.beta == pytest.approx(0.2 * 1.01 * 1.02 * 0.98)


def test_without_a_target_the_coefficient_stays() -> None:
    fixed = controller(0.05, 0.0, 0.1)
    fixed.saw(100.0)
    assert fixed == FixedController(0.05)
