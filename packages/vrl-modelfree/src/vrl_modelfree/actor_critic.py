"""Actor, twin critic and action noise of DrQ-v2 (Yarats et al. 2022), shared by all algorithms.

Hidden layers run in whatever precision autocast gives them. Normalisations and output layers keep
the parameters' float32: a value of 100 in bfloat16 would be known to 0.5 only.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vrl_core.networks import StackedLinear, mlp
from vrl_modelfree.config import PixelConfig

ACTION_MARGIN = 1e-6
"""Distance that sampled actions keep from -1 and 1."""


class Trunk(nn.Module):
    """Compresses an encoder's features: linear, layer normalisation, tanh."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, outputs)
        self.normalisation = nn.LayerNorm(outputs)

    def forward(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch embedding"]:
        """Return values in [-1, 1], in the parameters' precision."""
        linear = self.linear(features).to(self.normalisation.weight.dtype)
        return torch.tanh(self.normalisation(linear))


class Actor(nn.Module):
    """A deterministic policy: trunk, two hidden ReLU layers, tanh."""

    def __init__(self, features: int, action_size: int, feature_size: int, hidden_size: int):
        super().__init__()
        self.trunk = Trunk(features, feature_size)
        self.hidden = nn.Sequential(*mlp([feature_size, hidden_size, hidden_size]), nn.ReLU())
        self.output = nn.Linear(hidden_size, action_size)
        self.apply(orthogonal)

    def forward(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch action"]:
        """Return the mean actions, in [-1, 1]."""
        hidden = self.hidden(self.trunk(features))
        with torch.autocast(hidden.device.type, enabled=False):
            return torch.tanh(self.output(hidden.to(self.output.weight.dtype)))


class Critic(nn.Module):
    """Two value functions with one trunk; both are evaluated in one batched product."""

    def __init__(self, features: int, action_size: int, feature_size: int, hidden_size: int):
        super().__init__()
        self.trunk = Trunk(features, feature_size)
        self.hidden = nn.Sequential(
            StackedLinear(2, feature_size + action_size, hidden_size),
            nn.ReLU(inplace=True),
            StackedLinear(2, hidden_size, hidden_size),
            nn.ReLU(inplace=True),
        )
        self.output = StackedLinear(2, hidden_size, 1)
        self.apply(orthogonal)

    def forward(
        self, features: Float[Tensor, "batch feature"], action: Float[Tensor, "batch action"]
    ) -> Float[Tensor, "2 batch"]:
        """Return both values of one action for each observation."""
        return self.values(self.trunk(features), action.unsqueeze(1)).squeeze(-1)

    def values(
        self,
        embedding: Float[Tensor, "batch embedding"],
        actions: Float[Tensor, "batch choice action"],
    ) -> Float[Tensor, "2 batch choice"]:
        """Return both values of several actions for each observation.

        Takes the trunk's output, so that many actions cost one pass through the trunk.
        """
        batch, choices, _ = actions.shape
        repeated = embedding.unsqueeze(1).expand(-1, choices, -1)
        inputs = torch.cat((repeated, actions), -1).flatten(0, 1)
        hidden = self.hidden(inputs.expand(2, -1, -1))
        with torch.autocast(hidden.device.type, enabled=False):
            value: Tensor = self.output(hidden.to(self.output.weight.dtype))
        return value.view(2, batch, choices)


@torch.no_grad()
def orthogonal(module: nn.Module) -> None:
    """Initialise a linear layer with an orthogonal weight (each member's) and zero bias."""
    if isinstance(module, nn.Linear):
        nn.init.orthogonal_(module.weight)
        nn.init.zeros_(module.bias)
    elif isinstance(module, StackedLinear):
        for weight in module.weight:
            nn.init.orthogonal_(weight)
        nn.init.zeros_(module.bias)


def noise_deviation(config: PixelConfig, updates: Tensor) -> Float[Tensor, ""]:
    """Return the standard deviation of the action noise after so many updates.

    DrQ-v2's `linear(start, end, duration)`. It counts agent steps, of which DrQ-v2 makes two for
    each update. `updates` is a tensor on the device, so that nothing waits for the host.
    """
    progress = updates * (config.noise_steps_per_update / config.noise_duration)
    return config.noise_start + (config.noise_end - config.noise_start) * progress.clamp(0.0, 1.0)


def sample_action(
    mean: Float[Tensor, "*batch action"],
    deviation: Float[Tensor, ""],
    clip: float,
    noise: Float[Tensor, "*batch action"] | None = None,
) -> Float[Tensor, "*batch action"]:
    """Add clipped Gaussian noise and keep the action inside (-1, 1).

    DrQ-v2's truncated normal: `a = mean + clip(deviation * noise, -c, c)`, then clamped; the
    gradient to the mean passes the clamp unchanged (straight-through). `noise` is standard
    normal, drawn here unless given.
    """
    standard = torch.randn_like(mean) if noise is None else noise
    action = mean + (standard * deviation).clamp(-clip, clip)
    limit = 1.0 - ACTION_MARGIN
    clamped = action.detach().clamp(-limit, limit)
    return action - action.detach() + clamped  # in this order the value is exactly the clamped one
