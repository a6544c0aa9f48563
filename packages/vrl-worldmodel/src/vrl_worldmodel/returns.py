"""Lambda-returns of imagined rollouts."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def lambda_returns(
    reward: Float[Tensor, "horizon batch"],
    next_value: Float[Tensor, "horizon batch"],
    discount: float,
    mix: float,
) -> Float[Tensor, "horizon batch"]:
    """Return the targets of a value function, mixed over all horizons (DreamerV2, Equation 4).

    `V_t = r_t + discount * ((1 - mix) * v_{t+1} + mix * V_{t+1})`, and `V_H = v_H`. So 0 mixes to
    one-step targets, 1 to the discounted sum of all rewards and the last value.

    Args:
        reward: Rewards of states 0 to H-1.
        next_value: Values of states 1 to H.
        discount: Discount per step.
        mix: Lambda.
    """
    one_step = reward + discount * (1 - mix) * next_value
    target = next_value[-1]
    targets = []
    for step in reversed(range(len(reward))):
        target = one_step[step] + discount * mix * target
        targets.append(target)
    return torch.stack(targets[::-1])


def discount_weights(
    horizon: int, discount: float, device: torch.device
) -> Float[Tensor, "horizon 1"]:
    """Return the weight of each imagined state, `discount^t`: 1 for the state it starts from."""
    return discount ** torch.arange(horizon, device=device)[:, None]
