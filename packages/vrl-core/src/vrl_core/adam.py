"""Adam for small networks: torch's fused kernel without what a step costs around it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor


class Adam(torch.optim.Adam):
    """Adam (Kingma and Ba 2015) on all its parameters at once, bit for bit `torch.optim.Adam`'s.

    torch's own step sorts its tensors by device and counts the steps of each parameter apart: on
    a CPU four times the cost of the arithmetic, where a network has a hundred thousand weights.
    Here every step is of all parameters, so that one counter does for all, and what the kernel
    is given is gathered once. The state is laid out as torch's is.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        learning_rate: float,
    ) -> None:
        """Optimise these parameters, or groups of them with a `weight_decay` each."""
        super().__init__(parameters, lr=learning_rate, fused=True)
        self._parameters = [value for group in self.param_groups for value in group["params"]]
        for group in self.param_groups:
            # A step counter on the GPU is one that a CUDA graph can advance.
            group["capturable"] = self._parameters[0].is_cuda
        self._arguments: list[tuple[list[Tensor], ...]] = []

    def descend(self, loss: Tensor) -> None:
        """Take one step down a loss, a scalar that every parameter is a part of.

        Differentiating for these parameters alone spares the gradients that nobody uses.
        """
        gradients = torch.autograd.grad(loss, self._parameters)
        if not self._arguments:
            self._gather()
        # The kernel reads memory in its order, whatever the strides say.
        rest = iter([gradient.contiguous() for gradient in gradients])
        with torch.no_grad():
            self._arguments[0][-1][0].add_(1)
            for group, (parameters, means, squares, steps) in zip(
                self.param_groups, self._arguments, strict=True
            ):
                torch._fused_adam_(
                    parameters,
                    [next(rest) for _ in parameters],
                    means,
                    squares,
                    [],
                    steps,
                    lr=group["lr"],
                    beta1=group["betas"][0],
                    beta2=group["betas"][1],
                    weight_decay=group["weight_decay"],
                    eps=group["eps"],
                    amsgrad=False,
                    maximize=False,
                )

    def state_dict(self) -> dict[str, Any]:
        """Return torch's state: a counter for each parameter, which files keep apart."""
        found = super().state_dict()
        found["state"] = {
            number: {**state, "step": state["step"].clone()}
            for number, state in found["state"].items()
        }
        return found

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`, this class's or torch's after as many steps of each."""
        super().load_state_dict(dict(state_dict))
        self._arguments = []

    def _gather(self) -> None:
        """Find or make the moments, and let all parameters share the first one's counter."""
        first = self._parameters[0]
        step = self.state[first].get("step", torch.zeros((), device=first.device))
        for value in self._parameters:
            state = self.state[value]
            state["step"] = step
            for moment in ("exp_avg", "exp_avg_sq"):
                if moment not in state:
                    state[moment] = torch.zeros_like(value)
        self._arguments = [
            (
                group["params"],
                [self.state[value]["exp_avg"] for value in group["params"]],
                [self.state[value]["exp_avg_sq"] for value in group["params"]],
                [step] * len(group["params"]),
            )
            for group in self.param_groups
        ]
