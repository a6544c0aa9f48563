"""Offline DV2's two updates written the obvious way, as public code has them: the yardstick.

An independent formulation for `worldmodel.py` to measure against: float32, library convolutions in
their default memory order, a Python loop over the ensemble's heads, all of them evaluated inside
the scan, images encoded anew in every behaviour update, the penalty's heads evaluated after the
rollout once more, gradients of whole losses, unfused Adam, metrics read to the host at every
update, the default allocator. Made from the published descriptions; it shares no code with VRL.
"""

from __future__ import annotations

import copy
import math
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, Normal, kl_divergence
from torch.nn import functional

DETER = HIDDEN = 200
STOCH = CLASSES = 32
HEADS, HORIZON, DEPTH, UNITS = 7, 5, 48, 400
FEATURES = DETER + STOCH * CLASSES
DISCOUNT, MIX, PENALTY_WEIGHT, ENTROPY_WEIGHT = 0.99, 0.95, 10.0, 1e-4


class Windows:
    """Frames in memory; windows of consecutive rows are gathered by index."""

    def __init__(
        self, images: np.ndarray, actions: np.ndarray, rewards: np.ndarray, length: int
    ) -> None:
        """Take images `(row, height, width, channel)` of episodes of `length` + 1 rows."""
        self.images, self.actions, self.rewards = images, actions, rewards
        self.length = length
        self.random = np.random.default_rng(0)

    def sample(self, batch: int, rows: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Return images, the action before each and its reward: `(batch, rows, ...)`."""
        episodes = len(self.images) // (self.length + 1)
        first = self.random.integers(0, episodes, batch) * (self.length + 1)
        start = first + self.random.integers(1, self.length + 2 - rows, batch)
        index = start[:, None] + np.arange(rows)
        arrays = (self.images[index], self.actions[index - 1], self.rewards[index - 1])
        images, actions, rewards = (torch.from_numpy(array).to(device) for array in arrays)
        actions[:, 0] = 0
        return images, actions, rewards


def dense(inputs: int, outputs: int, layers: int) -> nn.Sequential:
    """Return ELU layers of 400, and a linear one."""
    parts: list[nn.Module] = []
    for _ in range(layers):
        parts += [nn.Linear(inputs, UNITS), nn.ELU()]
        inputs = UNITS
    return nn.Sequential(*parts, nn.Linear(inputs, outputs))


class Encoder(nn.Sequential):
    """Four 4x4 convolutions of stride 2."""

    def __init__(self) -> None:
        sizes = [3, DEPTH, 2 * DEPTH, 4 * DEPTH, 8 * DEPTH]
        parts: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            parts += [nn.Conv2d(inputs, outputs, 4, 2), nn.ELU()]
        super().__init__(*parts, nn.Flatten())


class Decoder(nn.Sequential):
    """A linear layer and four transposed convolutions of stride 2."""

    def __init__(self) -> None:
        super().__init__(
            nn.Linear(FEATURES, 32 * DEPTH),
            nn.Unflatten(1, (32 * DEPTH, 1, 1)),
            nn.ConvTranspose2d(32 * DEPTH, 4 * DEPTH, 5, 2),
            nn.ELU(),
            nn.ConvTranspose2d(4 * DEPTH, 2 * DEPTH, 5, 2),
            nn.ELU(),
            nn.ConvTranspose2d(2 * DEPTH, DEPTH, 6, 2),
            nn.ELU(),
            nn.ConvTranspose2d(DEPTH, 3, 6, 2),
        )


class LayerNormGRU(nn.Module):
    """DreamerV2's gated recurrent unit."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(HIDDEN + DETER, 3 * DETER, bias=False)
        self.norm = nn.LayerNorm(3 * DETER, eps=1e-3)

    def forward(self, value: Tensor, state: Tensor) -> Tensor:
        """Return the next state."""
        parts = self.norm(self.layer(torch.cat([value, state], -1)))
        reset, candidate, update = torch.chunk(parts, 3, -1)
        candidate = torch.tanh(torch.sigmoid(reset) * candidate)
        update = torch.sigmoid(update - 1)
        return update * candidate + (1 - update) * state


def straight_through(logits: Tensor) -> Tensor:
    """Draw one-hot vectors with the probabilities' gradient."""
    probabilities = functional.softmax(logits, -1)
    index = Categorical(logits=logits).sample()  # type: ignore[no-untyped-call]
    drawn = functional.one_hot(index, CLASSES).float()
    return drawn + probabilities - probabilities.detach()


class RSSM(nn.Module):
    """Recurrent state-space model with a list of prior heads."""

    def __init__(self, actions: int, embedding: int) -> None:
        super().__init__()
        self.inputs = nn.Linear(STOCH * CLASSES + actions, HIDDEN)
        self.cell = LayerNormGRU()
        self.hidden = nn.ModuleList(nn.Linear(DETER, HIDDEN) for _ in range(HEADS))
        self.logits = nn.ModuleList(nn.Linear(HIDDEN, STOCH * CLASSES) for _ in range(HEADS))
        self.posterior = nn.Sequential(
            nn.Linear(DETER + embedding, HIDDEN), nn.ELU(), nn.Linear(HIDDEN, STOCH * CLASSES)
        )

    def priors(self, deter: Tensor) -> Tensor:
        """Return the logits of every head."""
        found = [
            logits(functional.elu(hidden(deter)))
            for hidden, logits in zip(self.hidden, self.logits, strict=True)
        ]
        return torch.stack(found).view(HEADS, *deter.shape[:-1], STOCH, CLASSES)

    def imagine_step(
        self, deter: Tensor, stoch: Tensor, action: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the next state and its prior's logits, by one head drawn at random."""
        value = functional.elu(self.inputs(torch.cat([stoch.flatten(-2), action], -1)))
        deter = self.cell(value, deter)
        logits = self.priors(deter)[int(torch.randint(HEADS, ()))]
        return deter, straight_through(logits), logits

    def observe(self, embedding: Tensor, action: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return states, posterior and prior logits of windows `(batch, time, ...)`."""
        batch, time = embedding.shape[:2]
        deter = embedding.new_zeros(batch, DETER)
        stoch = embedding.new_zeros(batch, STOCH, CLASSES)
        steps = []
        for step in range(time):
            deter, _, prior = self.imagine_step(deter, stoch, action[:, step])
            logits = self.posterior(torch.cat([deter, embedding[:, step]], -1))
            logits = logits.view(batch, STOCH, CLASSES)
            stoch = straight_through(logits)
            steps.append((deter, stoch, logits, prior))
        deters, stochs, posts, priors = (torch.stack(part, 1) for part in zip(*steps, strict=True))
        return deters, stochs, posts, priors


def features(deter: Tensor, stoch: Tensor) -> Tensor:
    """Join the parts of a state."""
    return torch.cat([stoch.flatten(-2), deter], -1)


class Agent:
    """World model, actor and critic, with their updates."""

    def __init__(self, actions: int, device: torch.device) -> None:
        self.encoder, self.decoder = Encoder().to(device), Decoder().to(device)
        self.rssm = RSSM(actions, 32 * DEPTH).to(device)
        self.reward = dense(FEATURES, 1, 4).to(device)
        self.actor = dense(FEATURES, 2 * actions, 4).to(device)
        self.critic = dense(FEATURES, 1, 4).to(device)
        self.target = copy.deepcopy(self.critic)
        model = [self.encoder, self.decoder, self.rssm, self.reward]
        self.parameters = {
            "model": [value for module in model for value in module.parameters()],
            "actor": list(self.actor.parameters()),
            "critic": list(self.critic.parameters()),
        }
        rates = {"model": 3e-4, "actor": 8e-5, "critic": 8e-5}
        self.optimisers = {
            name: torch.optim.Adam(values, lr=rates[name], eps=1e-5)
            for name, values in self.parameters.items()
        }
        self.updates = 0

    def encode(self, images: Tensor) -> Tensor:
        """Encode `(batch, time, height, width, channel)` uint8 images."""
        values = images.float() / 255 - 0.5
        encoded: Tensor = self.encoder(values.flatten(0, 1).permute(0, 3, 1, 2))
        return encoded.view(*images.shape[:2], -1)

    def update_model(self, batch: tuple[Tensor, Tensor, Tensor]) -> dict[str, float]:
        """Train encoder, recurrent model, decoder and reward head."""
        images, actions, rewards = batch
        deter, stoch, post, prior = self.rssm.observe(self.encode(images), actions)
        state = features(deter, stoch)
        to_prior = self._divergence(post.detach(), prior).clamp(min=1.0)
        to_posterior = self._divergence(post, prior.detach()).clamp(min=1.0)
        divergence = 0.8 * to_prior + 0.2 * to_posterior
        mean = self.decoder(state.flatten(0, 1)).permute(0, 2, 3, 1).reshape(images.shape)
        target = images.float() / 255 - 0.5
        image = -Independent(Normal(mean, 1.0), 3).log_prob(target).mean()  # type: ignore[no-untyped-call]
        predicted = self.reward(state).squeeze(-1)
        reward = -Normal(predicted, 1.0).log_prob(rewards).mean()  # type: ignore[no-untyped-call]
        loss = divergence + image + reward
        norm = self._step("model", loss)
        losses = {"kl": divergence, "image": image, "reward": reward, "norm": norm}
        return {name: value.item() for name, value in losses.items()}

    def update_behaviour(self, batch: tuple[Tensor, Tensor, Tensor]) -> dict[str, float]:
        """Train actor and critic in imagination from every state of the batch."""
        images, actions, _ = batch
        with torch.no_grad():
            deter, stoch, _, _ = self.rssm.observe(self.encode(images), actions)
        states, deters, entropies = self._imagine(deter.flatten(0, 1), stoch.flatten(0, 1))
        reward = self.reward(states).squeeze(-1) - PENALTY_WEIGHT * self._penalty(deters)
        value = self.target(states).squeeze(-1)
        targets = self._lambda_returns(reward, value)
        weight = DISCOUNT ** torch.arange(HORIZON, device=reward.device)[:, None]
        objective = targets[1:] + ENTROPY_WEIGHT * entropies[:-1]
        actor = -(weight[:-1] * objective).mean()
        predicted = self.critic(states[:-1].detach()).squeeze(-1)
        critic = (weight * 0.5 * (predicted - targets.detach()) ** 2).mean()
        norms = self._step("actor", actor), self._step("critic", critic)
        if self.updates % 100 == 0:
            self.target.load_state_dict(self.critic.state_dict())
        self.updates += 1
        losses = {"actor": actor, "critic": critic, "norm": norms[0], "critic_norm": norms[1]}
        return {name: value.item() for name, value in losses.items()}

    def _divergence(self, first: Tensor, second: Tensor) -> Tensor:
        one, other = (Independent(Categorical(logits=logits), 1) for logits in (first, second))
        divergence: Tensor = kl_divergence(one, other).mean()
        return divergence

    def _imagine(self, deter: Tensor, stoch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        state = features(deter, stoch)
        states, deters, entropies = [state], [deter], []
        for _ in range(HORIZON):
            action, entropy = self._act(state.detach())
            deter, stoch, _ = self.rssm.imagine_step(deter, stoch, action)
            state = features(deter, stoch)
            states.append(state)
            deters.append(deter)
            entropies.append(entropy)
        return torch.stack(states), torch.stack(deters), torch.stack(entropies)

    def _act(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Sample a truncated normal by its inverse distribution function; also its entropy."""
        mean, raw = self.actor(state).chunk(2, -1)
        mean, std = torch.tanh(mean), 2 * torch.sigmoid(raw / 2) + 0.1
        low, high = (-1 - mean) / std, (1 - mean) / std
        below, inside = torch.special.ndtr(low), torch.special.ndtr(high) - torch.special.ndtr(low)
        with torch.no_grad():
            standard = torch.special.ndtri(below + torch.rand_like(mean) * inside)
        action = mean + std * standard.clamp(-10, 10)
        clipped = action.clamp(-1 + 1e-6, 1 - 1e-6)
        density = [torch.exp(-0.5 * at**2) / math.sqrt(2 * math.pi) for at in (low, high)]
        edges = (low * density[0] - high * density[1]) / (2 * inside)
        entropy = torch.log(math.sqrt(2 * math.pi * math.e) * std * inside) + edges
        return action + (clipped - action).detach(), entropy.sum(-1)

    def _penalty(self, deters: Tensor) -> Tensor:
        """Return the mean distance of every head's probabilities from their mean."""
        probabilities = functional.softmax(self.rssm.priors(deters), -1)
        distance: Tensor = torch.linalg.norm(probabilities - probabilities.mean(0), dim=(-2, -1))
        return distance.mean(0)

    def _lambda_returns(self, reward: Tensor, value: Tensor) -> Tensor:
        last, targets = value[-1], []
        for step in reversed(range(HORIZON)):
            last = reward[step] + DISCOUNT * ((1 - MIX) * value[step + 1] + MIX * last)
            targets.append(last)
        return torch.stack(targets[::-1])

    def _step(self, name: str, loss: Tensor) -> Tensor:
        optimiser = self.optimisers[name]
        for each in self.optimisers.values():
            each.zero_grad(set_to_none=True)
        loss.backward(retain_graph=name == "actor")  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.parameters[name], 100.0)
        with torch.no_grad():
            for value in self.parameters[name]:
                value.mul_(1 - 1e-6)
        optimiser.step()
        return norm
