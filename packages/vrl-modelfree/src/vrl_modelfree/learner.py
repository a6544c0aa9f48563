"""What every algorithm here is made of: encoder, actor, optimisers, and their saving."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vrl_core.augment import random_shift
from vrl_core.device import resolve_precision
from vrl_core.episodes import DataSpec
from vrl_core.observations import choose_fields, require_weights_of
from vrl_core.protocols import Observations
from vrl_core.replay import Replay
from vrl_modelfree.actor_critic import Actor, noise_deviation
from vrl_modelfree.config import PixelConfig
from vrl_modelfree.observation_encoder import ObservationEncoder
from vrl_modelfree.policy import StackedFramesPolicy


class PixelLearner:
    """Holds the networks by name, steps their optimisers, saves and restores all of it."""

    config: PixelConfig

    def __init__(self, config: PixelConfig, spec: DataSpec, device: torch.device) -> None:
        self.config = config
        self.fields = choose_fields(spec, config.observations, type(self).__name__)
        self.action_size = spec.action_size
        self.device = device
        self.bfloat16 = resolve_precision(config.precision, device) == torch.bfloat16
        self.updates = torch.zeros((), dtype=torch.int64, device=device)
        """Updates made so far; on the device, where the noise schedule reads it."""
        self.encoder = ObservationEncoder(config, self.fields).to(device)
        self.actor = Actor(*self.network_sizes).to(device)
        self.networks: dict[str, nn.Module] = {
            "encoder": self.encoder.network,
            "actor": self.actor,
        }
        self.optimisers: dict[str, torch.optim.Adam] = {}
        self.learning_rate = torch.tensor(config.learning_rate, device=device)
        """Shared by the optimisers; on the device, where `set_learning_rate` changes it."""

    @property
    def network_sizes(self) -> tuple[int, int, int, int]:
        """Sizes of features, action, embedding and hidden layers, as actor and critic take them."""
        config = self.config
        return self.encoder.features, self.action_size, config.feature_size, config.hidden_size

    def optimise(self, *names: str) -> None:
        """Give each of these networks an Adam optimiser, if it has weights (vectors need none)."""
        for name in names:
            parameters = list(self.networks[name].parameters())
            if not parameters:
                continue
            self.optimisers[name] = torch.optim.Adam(
                parameters,
                lr=self.learning_rate,
                fused=True,
                capturable=self.device.type == "cuda",  # the step counter may sit in a CUDA graph
            )

    def set_learning_rate(self) -> None:
        """Set the rate of the update to come: constant, or on a line to its final value."""
        config = self.config
        if config.final_learning_rate is not None:
            share = (self.updates / config.steps).clamp(max=1.0)
            change = config.final_learning_rate - config.learning_rate
            self.learning_rate.copy_(config.learning_rate + share * change)

    def step_on(self, loss: Tensor, *names: str) -> None:
        """Take one optimiser step with the loss's gradient to these networks, and no others.

        Differentiating for them alone spares the gradients that nobody uses.
        """
        parameters = [value for name in names for value in self.networks[name].parameters()]
        gradients = torch.autograd.grad(loss, parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            # The fused optimiser reads memory in its order, whatever the strides say.
            parameter.grad = gradient.contiguous()
        for name in names:
            if name in self.optimisers:
                self.optimisers[name].step()

    def autocast(self) -> torch.autocast:
        """Return the context in which networks run in the chosen precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)

    def encode(self, observation: Observations) -> Tensor:
        """Shift each camera's images at random and encode the observation: `(batch, feature)`."""
        padding = self.config.shift_padding
        shifted = {name: random_shift(observation[name], padding) for name in self.fields.cameras}
        return self.encode_unshifted(observation | shifted)

    def encode_unshifted(self, observation: Observations) -> Tensor:
        """Encode images `(batch, stack, height, width, channel)` and vectors as they are."""
        with self.autocast():
            features: Tensor = self.encoder(observation)
        return features

    def noise_deviation(self) -> Tensor:
        """Return the current standard deviation of the action noise, a scalar on the device."""
        return noise_deviation(self.config, self.updates)

    @property
    def prepare(self) -> Callable[[Replay, int], None] | None:
        """What a phase prepares: the vectors' standardisation; nothing for images alone."""
        return self.standardise if self.fields.vectors else None

    def standardise(self, replay: Replay, seed: int) -> None:  # noqa: ARG002
        """Take mean and deviation of the vectors over the data."""
        assert self.encoder.vectors is not None
        self.encoder.vectors.fit(replay)

    def mean_action(self, observation: Observations) -> Tensor:
        """Return the evaluation actions `(batch, action)` for stacked images and vectors."""
        with self.autocast():
            action: Tensor = self.actor(self.encoder(observation))
        return action

    def policy(self) -> StackedFramesPolicy:
        """Return the policy as it stands; it sees later updates."""
        stack = self.config.frame_stack
        return StackedFramesPolicy(self.mean_action, self.fields, stack, self.device)

    def state_dict(self) -> dict[str, Any]:
        """Return networks, optimisers and the number of updates."""
        return {
            "networks": {name: dict(net.state_dict()) for name, net in self.networks.items()},
            "optimisers": {
                name: opt.state_dict()["state"] for name, opt in self.optimisers.items()
            },
            "updates": self.updates.clone(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`; raises `VRLError` for one of other observation fields."""
        encoder = self.networks["encoder"].state_dict()
        require_weights_of(self.fields, encoder, state["networks"]["encoder"])
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        for name, optimiser in self.optimisers.items():
            # Rates and device options are the configuration's, not the checkpoint's.
            groups = optimiser.state_dict()["param_groups"]
            moments = state["optimisers"][name]
            optimiser.load_state_dict({"state": moments, "param_groups": groups})
            for group in optimiser.param_groups:
                group["lr"] = self.learning_rate  # loading made a copy, which would never fall
        self.updates.copy_(state["updates"])
