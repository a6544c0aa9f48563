"""Lambda-returns by hand, and against their definition as a mixture of n-step returns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vrl_worldmodel.returns import discount_weights, lambda_returns

REWARD = torch.tensor([[1.0], [2.0], [3.0]])
NEXT_VALUE = torch.tensor([[10.0], [20.0], [30.0]])


@pytest.mark.parametrize(
    ("mix", "expected"),
    [
        (0.0, [6.0, 12.0, 18.0]),  # r_t + v_{t+1} / 2
        (0.5, [6.375, 11.5, 18.0]),  # 2 + (20 + 18) / 4 = 11.5, 1 + (10 + 11.5) / 4 = 6.375
        (1.0, [6.5, 11.0, 18.0]),  # 2 + 18 / 2, 1 + 11 / 2
    ],
)
def test_three_steps_by_hand(mix, expected) -> None:
    found = lambda_returns(REWARD, NEXT_VALUE, 0.5, mix)
    assert found[:, 0].tolist() == pytest.approx(expected)


def test_is_the_mixture_of_n_step_returns() -> None:
    random = np.random.default_rng(0)
    horizon, discount, mix = 5, 0.9, 0.95
    reward, value = random.normal(size=(2, horizon, 4))

    def n_step(start: int, steps: int) -> np.ndarray:
        rewards = sum(discount**k * reward[start + k] for k in range(steps))
        return rewards + discount**steps * value[start + steps - 1]

    expected = []
    for start in range(horizon):
        longest = horizon - start
        mixture = sum(
            (1 - mix) * mix ** (steps - 1) * n_step(start, steps) for steps in range(1, longest)
        )
        expected.append(mixture + mix ** (longest - 1) * n_step(start, longest))
    found = lambda_returns(torch.as_tensor(reward), torch.as_tensor(value), discount, mix)
    np.testing.assert_allclose(found.numpy(), np.stack(expected), rtol=1e-12)


def test_gradient_reaches_rewards_and_values() -> None:
    reward, value = REWARD.clone().requires_grad_(), NEXT_VALUE.clone().requires_grad_()
    lambda_returns(reward, value, 0.5, 0.5)[0].sum().backward()
    # dV_0/dr_t = (discount * mix)^t; dV_0/dv_{t+1} = that * discount * (1 - mix), the last whole.
    assert reward.grad[:, 0].tolist() == pytest.approx([1.0, 0.25, 0.0625])
    assert value.grad[:, 0].tolist() == pytest.approx([0.25, 0.0625, 0.03125])


def test_weights_begin_at_one() -> None:
    assert discount_weights(3, 0.5, torch.device("cpu"))[:, 0].tolist() == [1.0, 0.5, 0.25]
