"""DrQ+BC, CQL and BC written the obvious way, as public code has them: the yardstick.

An independent formulation for `modelfree.py` to measure against: float images, bilinear random
shifts, one module per value function, features repeated for CQL's actions, whole backward passes,
unfused Adam, metrics read to the host at every update, all frames in memory and sampled with
NumPy. Made from the published descriptions; it shares no code with VRL.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

NOISE, CLIP, DISCOUNT, STEPS = 1.0, 0.3, 0.99, 3


class Frames:
    """Single frames in memory; n-step transitions with stacks are gathered by index."""

    def __init__(self, frames: np.ndarray, actions: np.ndarray, rewards: np.ndarray, length: int):
        """Take frames `(row, channel, height, width)` of episodes of `length` + 1 rows."""
        self.frames, self.actions, self.rewards = frames, actions, rewards
        self.length = length
        self.episodes = len(frames) // (length + 1)
        self.random = np.random.default_rng(0)

    def sample(self, batch: int, steps: int) -> tuple[Tensor, ...]:
        """Return observation, action, reward, discount and next observation."""
        episode = self.random.integers(0, self.episodes, batch) * (self.length + 1)
        start = self.random.integers(0, self.length - steps + 1, batch)
        reward = np.zeros(batch, np.float32)
        for k in range(steps):
            reward += DISCOUNT**k * self.rewards[episode + start + k]
        arrays = (
            self._stack(episode, start),
            self.actions[episode + start],
            reward,
            np.full(batch, DISCOUNT**steps, np.float32),
            self._stack(episode, start + steps),
        )
        return tuple(torch.as_tensor(array) for array in arrays)

    def _stack(self, episode: np.ndarray, step: np.ndarray) -> np.ndarray:
        rows = [episode + np.maximum(step + k, 0) for k in (-2, -1, 0)]
        return np.concatenate([self.frames[row] for row in rows], axis=1)


def shift(images: Tensor, padding: int = 4) -> Tensor:
    """Resample float images at random whole-pixel offsets."""
    batch, _, size, _ = images.shape
    images = functional.pad(images, (padding,) * 4, "replicate")
    wide = size + 2 * padding
    line = torch.linspace(-1 + 1 / wide, 1 - 1 / wide, wide)[:size]
    grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).expand(batch, -1, -1, -1)
    offset = torch.randint(0, 2 * padding + 1, (batch, 1, 1, 2)).float() * 2 / wide
    return functional.grid_sample(images, grid + offset, align_corners=False)


def initialise(module: nn.Module) -> None:
    """Orthogonal weights, zero biases."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        gain = 2**0.5 if isinstance(module, nn.Conv2d) else 1.0
        nn.init.orthogonal_(module.weight, gain)
        assert module.bias is not None
        nn.init.zeros_(module.bias)


class Encoder(nn.Module):
    """Four 3x3 convolutions."""

    def __init__(self, size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 9
        for stride in (2, 1, 1, 1):
            layers += [nn.Conv2d(inputs, 32, 3, stride), nn.ReLU()]
            inputs = 32
        self.net = nn.Sequential(*layers)
        self.features = self(torch.zeros(1, 9, size, size)).shape[1]
        self.apply(initialise)

    def forward(self, images: Tensor) -> Tensor:
        """Encode `(batch, 9, size, size)` images in [0, 255]."""
        features: Tensor = self.net(images / 255.0 - 0.5).flatten(1)
        return features


def trunk(features: int) -> nn.Sequential:
    """Features to fifty numbers."""
    return nn.Sequential(nn.Linear(features, 50), nn.LayerNorm(50), nn.Tanh())


def head(inputs: int, outputs: int) -> nn.Sequential:
    """Two hidden layers of 1024."""
    return nn.Sequential(
        nn.Linear(inputs, 1024),
        nn.ReLU(inplace=True),
        nn.Linear(1024, 1024),
        nn.ReLU(inplace=True),
        nn.Linear(1024, outputs),
    )


class Actor(nn.Module):
    """Mean actions."""

    def __init__(self, features: int, actions: int) -> None:
        super().__init__()
        self.trunk, self.policy = trunk(features), head(50, actions)
        self.apply(initialise)

    def forward(self, features: Tensor) -> Tensor:
        """Return means in [-1, 1]."""
        return torch.tanh(self.policy(self.trunk(features)))

    def sample(self, features: Tensor) -> Tensor:
        """Return means with clipped noise, clamped straight-through."""
        mean = self(features)
        normal = torch.distributions.Normal(mean, torch.full_like(mean, NOISE))
        noise = torch.randn_like(normal.mean) * normal.stddev
        action = normal.mean + noise.clamp(-CLIP, CLIP)
        clamped = action.clamp(-1 + 1e-6, 1 - 1e-6)
        return action - action.detach() + clamped.detach()


class Critic(nn.Module):
    """Two values."""

    def __init__(self, features: int, actions: int) -> None:
        super().__init__()
        self.trunk = trunk(features)
        self.first, self.second = head(50 + actions, 1), head(50 + actions, 1)
        self.apply(initialise)

    def forward(self, features: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Return both values, each `(batch, 1)`."""
        inputs = torch.cat((self.trunk(features), action), -1)
        return self.first(inputs), self.second(inputs)


class Agent:
    """One of `bc`, `drq-bc` and `cql`."""

    def __init__(self, algorithm: str, size: int, actions: int) -> None:
        self.algorithm, self.actions = algorithm, actions
        self.encoder = Encoder(size)
        self.actor = Actor(self.encoder.features, actions)
        self.critic = Critic(self.encoder.features, actions)
        self.target = copy.deepcopy(self.critic)
        self.optimisers = [
            torch.optim.Adam(net.parameters(), lr=1e-4)
            for net in (self.encoder, self.actor, self.critic)
        ]

    def update(self, batch: tuple[Tensor, ...]) -> dict[str, float]:
        """Take one update; return metrics as Python numbers."""
        observation, action, reward, discount, next_observation = batch
        features = self.encoder(shift(observation.float()))
        if self.algorithm == "bc":
            loss = functional.mse_loss(self.actor.sample(features), action)
            self._step(loss, 0, 1)
            return {"loss": loss.item()}
        with torch.no_grad():
            next_features = self.encoder(shift(next_observation.float()))
            values = self.target(next_features, self.actor.sample(next_features))
            goal = reward[:, None] + discount[:, None] * torch.min(*values)
        first, second = self.critic(features, action)
        loss = functional.mse_loss(first, goal) + functional.mse_loss(second, goal)
        if self.algorithm == "cql":
            loss = loss + self._conservative(features, next_features, first, second)
        self._step(loss, 0, 2)
        metrics = {"critic": loss.item(), "value": first.mean().item()}
        metrics |= self._update_actor(features.detach(), action)
        with torch.no_grad():
            pairs = zip(self.critic.parameters(), self.target.parameters(), strict=True)
            for online, target in pairs:
                target.copy_(0.01 * online + 0.99 * target)
        return metrics

    def _conservative(
        self, features: Tensor, next_features: Tensor, first: Tensor, second: Tensor
    ) -> Tensor:
        repeated = features.repeat_interleave(10, 0)
        with torch.no_grad():
            uniform = torch.rand(len(repeated), self.actions) * 2 - 1
            current = self.actor.sample(repeated)
            following = self.actor.sample(next_features.repeat_interleave(10, 0))
        values = [self.critic(repeated, drawn) for drawn in (uniform, following, current)]
        total = torch.zeros(())
        for index, data in enumerate((first, second)):
            entries = [value[index].view(-1, 10) for value in values]
            penalty = torch.logsumexp(torch.cat((*entries, data), 1), 1).mean() - data.mean()
            total = total + 10.0 * penalty
        return total

    def _update_actor(self, features: Tensor, action: Tensor) -> dict[str, float]:
        sample = self.actor.sample(features)
        value = torch.min(*self.critic(features, sample))
        loss = -value.mean()
        if self.algorithm == "drq-bc":
            weight = 2.5 / value.abs().mean().detach()
            loss = weight * loss + functional.mse_loss(sample, action)
        self._step(loss, 1)
        return {"actor": loss.item()}

    def _step(self, loss: Tensor, *optimisers: int) -> None:
        for index in optimisers:
            self.optimisers[index].zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for index in optimisers:
            self.optimisers[index].step()
