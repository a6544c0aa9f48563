"""MOPO's three kinds of work written the obvious way, as public code has them: the yardstick.

An independent formulation for `mopo.py` to measure against: one stacked product a layer with the
weights' decay as part of the loss, data and replays in NumPy, batches gathered there and copied,
rollouts that go through NumPy in every step and draw from all members before one is chosen, two
critics as networks of their own, unfused Adam, targets moved parameter by parameter, metrics read
at every update, the default allocator. Made from the published descriptions; it shares no code with
VRL.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn import functional

MEMBERS, ELITES, WIDTH, BATCH, REAL = 7, 5, 200, 256, 12
DECAYS = (2.5e-5, 5e-5, 7.5e-5, 7.5e-5, 1e-4)
AGENT_WIDTH, DISCOUNT, TARGET_RATE, WEIGHT = 256, 0.99, 0.005, 1.0
FIELDS = ("observation", "action", "next_observation", "reward", "terminal")


class EnsembleLinear(nn.Module):
    """A layer of every member: `(member, batch, inputs)` to `(member, batch, outputs)`."""

    def __init__(self, inputs: int, outputs: int, decay: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(MEMBERS, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(MEMBERS, 1, outputs))
        nn.init.trunc_normal_(self.weight, std=1 / (2 * inputs**0.5))
        self.decay = decay

    def forward(self, value: Tensor) -> Tensor:
        """Multiply and add."""
        if value.ndim == 2:
            return torch.einsum("ij,bjk->bik", value, self.weight) + self.bias
        return torch.bmm(value, self.weight) + self.bias

    def decay_loss(self) -> Tensor:
        """Return half the squared weights, weighted."""
        return self.decay * 0.5 * (self.weight**2).sum()


class Dynamics(nn.Module):
    """Seven networks of four layers with one head for mean and log variance."""

    def __init__(self, states: int, actions: int) -> None:
        super().__init__()
        sizes = [states + actions, *[WIDTH] * 4]
        pairs = zip(sizes[:-1], sizes[1:], DECAYS[:-1], strict=True)
        self.layers = nn.ModuleList([EnsembleLinear(*pair) for pair in pairs])
        self.head = EnsembleLinear(WIDTH, 2 * (states + 1), DECAYS[-1])
        self.highest = nn.Parameter(torch.full((states + 1,), 0.5))
        self.lowest = nn.Parameter(torch.full((states + 1,), -10.0))

    def forward(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and log variances."""
        for layer in self.layers:
            hidden = layer(value)
            value = hidden * torch.sigmoid(hidden)
        mean, log_variance = self.head(value).chunk(2, -1)
        log_variance = self.highest - functional.softplus(self.highest - log_variance)
        return mean, self.lowest + functional.softplus(log_variance - self.lowest)


def network(inputs: int, outputs: int) -> nn.Sequential:
    """Return two hidden layers of 256."""
    layers: Sequence[nn.Module] = (
        *(nn.Linear(inputs, AGENT_WIDTH), nn.ReLU()),
        *(nn.Linear(AGENT_WIDTH, AGENT_WIDTH), nn.ReLU()),
    )
    return nn.Sequential(*layers, nn.Linear(AGENT_WIDTH, outputs))


class Replay:
    """Transitions in NumPy, the oldest overwritten."""

    def __init__(self, capacity: int, states: int, actions: int) -> None:
        widths = dict(zip(FIELDS, (states, actions, states, 1, 1), strict=True))
        self.arrays = {name: np.zeros((capacity, n), np.float32) for name, n in widths.items()}
        self.capacity, self.pointer, self.held = capacity, 0, 0

    def add(self, steps: Mapping[str, np.ndarray]) -> None:
        """Write transitions."""
        count = len(steps["reward"])
        rows = np.arange(self.pointer, self.pointer + count) % self.capacity
        for name, array in self.arrays.items():
            array[rows] = steps[name]
        self.pointer = (self.pointer + count) % self.capacity
        self.held = min(self.held + count, self.capacity)

    def sample(self, count: int, device: torch.device) -> dict[str, Tensor]:
        """Draw transitions and copy them to the device."""
        rows = np.random.randint(0, self.held, size=count)
        return {name: torch.tensor(a[rows]).to(device) for name, a in self.arrays.items()}


class Straightforward:
    """Dynamics, rollouts and soft actor-critic on arrays of transitions."""

    def __init__(self, data: Mapping[str, np.ndarray], device: torch.device, capacity: int) -> None:
        states, actions = data["observation"].shape[1], data["action"].shape[1]
        self.device = device
        self.real = Replay(len(data["reward"]), states, actions)
        self.real.add(data)
        self.imagined = Replay(capacity, states, actions)
        self._make_dynamics(states, actions)
        self.actor = network(states, 2 * actions).to(device)
        self.critics = [network(states + actions, 1).to(device) for _ in range(2)]
        self.targets = copy.deepcopy(self.critics)
        self.log_temperature = torch.zeros(1, requires_grad=True, device=device)
        learnt = (self.actor.parameters(), *(critic.parameters() for critic in self.critics))
        self.optimisers = [torch.optim.Adam(each, lr=3e-4) for each in learnt]
        self.temperature_optimiser = torch.optim.Adam([self.log_temperature], lr=3e-4)

    def _make_dynamics(self, states: int, actions: int) -> None:
        arrays = self.real.arrays
        self.inputs = np.concatenate((arrays["observation"], arrays["action"]), -1)
        change = arrays["next_observation"] - arrays["observation"]
        self.outputs = np.concatenate((change, arrays["reward"]), -1)
        self.mean, self.std = self.inputs.mean(0, keepdims=True), self.inputs.std(0, keepdims=True)
        self.inputs = (self.inputs - self.mean) / self.std
        rows = len(self.inputs)
        self.bootstrap = np.random.choice(rows, size=(MEMBERS, rows))
        self.position = 0
        self.dynamics = Dynamics(states, actions).to(self.device)
        self.dynamics_optimiser = torch.optim.Adam(self.dynamics.parameters(), lr=1e-3)

    def update_dynamics(self) -> float:
        """Take one step of every member on its own batch."""
        rows = self.bootstrap[:, self.position : self.position + BATCH]
        self.position = (self.position + BATCH) % (self.bootstrap.shape[1] - BATCH + 1)
        inputs = torch.as_tensor(self.inputs[rows]).to(self.device)
        targets = torch.as_tensor(self.outputs[rows]).to(self.device)
        mean, log_variance = self.dynamics(inputs)
        errors = ((mean - targets) ** 2 * torch.exp(-log_variance)).mean((1, 2))
        loss = errors.sum() + log_variance.mean((1, 2)).sum()
        layers = [*self.dynamics.layers, self.dynamics.head]
        loss = loss + torch.stack([layer.decay_loss() for layer in layers]).sum()
        loss = loss + 0.01 * (self.dynamics.highest.sum() - self.dynamics.lowest.sum())
        self.dynamics_optimiser.zero_grad()
        loss.backward()
        self.dynamics_optimiser.step()
        return float(loss.item())

    @torch.no_grad()
    def roll_out(self, rollouts: int, length: int) -> None:
        """Roll out from states of the data into the replay of imagined transitions."""
        rows = np.random.randint(0, self.real.held, size=rollouts)
        state = self.real.arrays["observation"][rows]
        for _ in range(length):
            action = self.act(torch.as_tensor(state).to(self.device))[0].cpu().numpy()
            steps = self.imagine(state, action)
            self.imagined.add(steps)
            going = ~steps["terminal"][:, 0].astype(bool)
            state = steps["next_observation"][going]

    def imagine(self, state: np.ndarray, action: np.ndarray) -> dict[str, np.ndarray]:
        """Take one step in the model, its reward less the largest deviation."""
        inputs = (np.concatenate((state, action), -1) - self.mean) / self.std
        found = self.dynamics(torch.as_tensor(inputs).to(self.device))
        mean, log_variance = (each.cpu().numpy() for each in found)
        mean[..., :-1] += state
        std = np.sqrt(np.exp(log_variance))
        samples = (mean + np.random.normal(size=mean.shape) * std).astype(np.float32)
        members = np.random.choice(ELITES, size=len(state))
        drawn = samples[members, np.arange(len(state))]
        penalty = np.linalg.norm(std, axis=2).max(0)[:, None]
        return {
            "observation": state,
            "action": action,
            "next_observation": drawn[:, :-1],
            "reward": drawn[:, -1:] - WEIGHT * penalty,
            "terminal": np.zeros((len(state), 1), np.float32),
        }

    def act(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Draw actions and return their log densities."""
        mean, log_std = self.actor(state).chunk(2, -1)
        normal = Normal(mean, log_std.clamp(-5, 2).exp())
        raw = normal.rsample()
        action = torch.tanh(raw)
        density = normal.log_prob(raw)  # type: ignore[no-untyped-call]
        density = density - torch.log(1 - action**2 + 1e-6)
        return action, density.sum(-1, keepdim=True)

    def update_policy(self) -> dict[str, float]:
        """Take one step of critics, actor and temperature."""
        parts = self.real.sample(REAL, self.device), self.imagined.sample(BATCH - REAL, self.device)
        batch = {name: torch.cat([part[name] for part in parts]) for name in FIELDS}
        losses = self._update_critics(batch)
        action, density = self.act(batch["observation"])
        pair = torch.cat((batch["observation"], action), -1)
        value = torch.min(*(critic(pair) for critic in self.critics))
        temperature = self.log_temperature.exp().detach()
        actor_loss = (temperature * density - value).mean()
        self._step(self.optimisers[0], actor_loss)
        entropy = (density.detach() - action.shape[1]).mean()
        self._step(self.temperature_optimiser, -(self.log_temperature * entropy).mean())
        for target, critic in zip(self.targets, self.critics, strict=True):
            for old, new in zip(target.parameters(), critic.parameters(), strict=True):
                old.data.copy_(old.data * (1 - TARGET_RATE) + new.data * TARGET_RATE)
        return {**losses, "actor": actor_loss.item(), "temperature": math.exp(temperature.log())}

    def _update_critics(self, batch: Mapping[str, Tensor]) -> dict[str, float]:
        with torch.no_grad():
            action, density = self.act(batch["next_observation"])
            pair = torch.cat((batch["next_observation"], action), -1)
            value = torch.min(*(target(pair) for target in self.targets))
            value = value - self.log_temperature.exp() * density
            goal = batch["reward"] + DISCOUNT * (1 - batch["terminal"]) * value
        pair = torch.cat((batch["observation"], batch["action"]), -1)
        losses = {}
        for number, critic in enumerate(self.critics):
            loss = ((critic(pair) - goal) ** 2).mean()
            self._step(self.optimisers[1 + number], loss)
            losses[f"critic {number}"] = loss.item()
        return losses

    @staticmethod
    def _step(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
