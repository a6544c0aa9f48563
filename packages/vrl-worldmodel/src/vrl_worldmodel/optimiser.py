"""Adam as Dreamer's code runs it: clipped, with weight decay, for some modules of a loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ModuleOptimiser:
    """Steps the parameters of some modules, and no others, down a loss.

    `weight_decay` is the share of every parameter that is taken off before each step; it does not
    scale with the learning rate (DreamerV2's code), so AdamW gets it divided by the rate. A rate
    of zero changes nothing at all. Epsilon is added to the bias-corrected deviation, as in the
    paper of Adam; Keras adds it before the correction, which makes it larger in the first steps.
    """

    def __init__(
        self,
        modules: Sequence[nn.Module],
        learning_rate: float,
        epsilon: float,
        weight_decay: float,
        clip: float,
    ) -> None:
        """Optimise these modules' parameters; gradients are cut to the norm `clip` together."""
        self.parameters = [value for module in modules for value in module.parameters()]
        self.clip = clip
        self._adam = torch.optim.AdamW(
            self.parameters,
            lr=learning_rate,
            eps=epsilon,
            weight_decay=weight_decay / learning_rate if learning_rate else 0.0,
            fused=True,
            capturable=self.parameters[0].is_cuda,  # its step counter may sit in a CUDA graph
        )

    def step_on(self, loss: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Take one step; return the gradient's norm before it was cut, detached.

        Differentiating for these parameters alone spares the gradients that nobody uses.
        """
        gradients = [
            # The fused optimiser reads memory in its order, whatever the strides say.
            gradient.contiguous()
            for gradient in torch.autograd.grad(loss, self.parameters)
        ]
        norm = torch.nn.utils.get_total_norm(gradients)
        # Not in place: autograd may hand the same tensor to two parameters.
        clipped = torch._foreach_mul(gradients, self.clip / norm.clamp(min=self.clip))
        for parameter, gradient in zip(self.parameters, clipped, strict=True):
            parameter.grad = gradient
        self._adam.step()
        return norm

    def state_dict(self) -> dict[int, dict[str, Tensor]]:
        """Return Adam's moments and step counters by the parameter's number."""
        state: dict[int, dict[str, Tensor]] = self._adam.state_dict()["state"]
        return state

    def load_state_dict(self, state: Mapping[int, Any]) -> None:
        """Continue from a `state_dict`; rates and options stay those of the configuration."""
        groups = self._adam.state_dict()["param_groups"]
        self._adam.load_state_dict({"state": dict(state), "param_groups": groups})
