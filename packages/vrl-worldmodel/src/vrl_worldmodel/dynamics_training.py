"""Training of the dynamics ensemble: bootstrap, hold-out, early stopping, elites (fact F3).

The schedule is the public code's. Every member sees its own bootstrap set, in a new order each
epoch; after an epoch all are judged by one hold-out, each member's best weights are kept, and the
training ends when no member has got better for some epochs. What changes in an update lies in
tensors, so that a GPU may replay it as a graph; epochs begin and end in `refresh`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vrl_core.adam import Adam
from vrl_core.errors import VRLError
from vrl_core.protocols import Metrics
from vrl_core.replay import Replay
from vrl_worldmodel.dynamics import ProbabilisticEnsemble
from vrl_worldmodel.dynamics_data import (
    DynamicsData,
    epoch_order,
    moments,
    read_dynamics_data,
)
from vrl_worldmodel.mopo_config import DynamicsConfig

LARGE_REWARDS = 100.0
"""How many times the states' deviation the rewards' may be without a warning."""


class DynamicsTrainer:
    """Trains an ensemble and leaves it with every member's best weights, and the elites known."""

    def __init__(
        self, config: DynamicsConfig, model: ProbabilisticEnsemble, device: torch.device
    ) -> None:
        self.config = config
        self.model = model
        self.device = device
        self.optimiser = build_optimiser(config, model)
        self.data: DynamicsData | None = None
        self.seed: int | None = None
        """Decides split, bootstrap and orders; known once the training was prepared."""
        self.epochs = 0
        """Epochs begun."""
        self.stale_epochs = 0
        """Epochs since any member got better."""
        self.stopped = False
        """Whether the hold-out has ended the training."""
        self.finished = False
        """Whether the model has its best weights."""
        self.position = torch.zeros((), dtype=torch.int64, device=device)
        """Transitions of the epoch that were seen."""
        self.best_error = torch.full((config.members,), torch.inf, device=device)
        self.holdout_error = torch.zeros((), device=device)
        """Mean error of the members on the hold-out, when it was last looked at."""
        self.best = {name: value.clone() for name, value in model.member_tensors().items()}
        self.elites = torch.arange(config.elites, device=device)
        """Members with the least error on the hold-out; known once finished."""
        self._lane = torch.arange(config.batch_size, device=device)
        self._order = torch.zeros((config.members, 0), dtype=torch.int32, device=device)

    @property
    def updates_per_epoch(self) -> int:
        """Updates in which every member sees as many transitions as are in training."""
        assert self.data is not None, "prepared before the first update"
        return -(-len(self.data) // self.config.batch_size)

    def prepare(self, replay: Replay, seed: int) -> None:
        """Read the data, standardise its inputs, and draw the order of the epoch under way.

        Raises `VRLError` for data that cannot be learnt from.
        """
        self.seed = seed if self.seed is None else self.seed
        self.data = read_dynamics_data(replay, self.config, self.seed)
        mean, std = moments(self.data.inputs)
        warn_of_large_rewards(self.data.targets[:, -1], std[: self.model.state_size])
        self.model.set_standardisation(mean, std)
        self.data.standardise(self.model.input_mean, self.model.input_std)
        shape = (self.config.members, len(self.data))
        self._order = torch.zeros(shape, dtype=torch.int32, device=self.device)
        if self.epochs:
            self._draw_order()

    def refresh(self, update: int) -> None:
        """Before the update of this number: end an epoch and begin the next, if one is over."""
        if self.stopped or update % self.updates_per_epoch:
            return
        if update:
            self.end_epoch()
        else:
            self.holdout_error.copy_(self.errors().mean())
        self.epochs += 1
        self.position.zero_()
        self._draw_order()

    def _draw_order(self) -> None:
        assert self.seed is not None
        rows, epoch = len(self._order[0]), self.epochs - 1
        # In place, since a recorded update reads it where it lay.
        self._order.copy_(epoch_order(rows, self.config.members, self.seed, epoch, self.device))

    def update(self, batch: object = None) -> Metrics:  # noqa: ARG002
        """Take one step of all members on their own batches; return detached metrics.

        An epoch's last batch is filled up with the epoch's first transitions. Raises `VRLError`
        when a member's loss is not finite; a GPU is not waited for, and the epoch's end tells.
        """
        inputs, targets = self._draw_batch()
        loss, metrics = self.model.loss(inputs, targets)
        if self.device.type == "cpu" and not bool(loss.isfinite()):
            raise self._diverged(self.model.losses(inputs, targets), "loss")
        self.optimiser.descend(loss)
        self.position += self.config.batch_size
        return metrics | {"holdout_error": self.holdout_error.clone()}

    def _draw_batch(self) -> tuple[Tensor, Tensor]:
        assert self.data is not None, "prepared before the first update"
        lanes = (self._lane + self.position) % len(self.data)
        rows = self._order.index_select(1, lanes)
        found = (
            values.index_select(0, rows.flatten()).view(*rows.shape, -1)
            for values in (self.data.inputs, self.data.targets)
        )
        return next(found), next(found)

    def errors(self) -> Float[Tensor, " member"]:
        """Return every member's error on the hold-out; raises `VRLError` if not finite."""
        assert self.data is not None, "prepared before the first update"
        errors = self.model.errors(self.data.holdout_inputs, self.data.holdout_targets)
        if not bool(errors.isfinite().all()):
            raise self._diverged(errors, "error on the hold-out")
        return errors

    def _diverged(self, values: Float[Tensor, " member"], name: str) -> VRLError:
        """Return the error that names the first member whose value is not finite, and when."""
        wrong = (~values.isfinite()).nonzero()
        member = int(wrong[0]) if len(wrong) else 0
        update = int(self.position) // self.config.batch_size
        if not update and not self.epochs:
            return VRLError(
                f"The {name} of member {member} of the dynamics is {float(values[member])} before "
                "the first update: the data has numbers too large to be squared in float32. "
                "Look at them (`vrl data stats`), and give such data another scale."
            )
        return VRLError(
            f"Member {member} of the dynamics has diverged: its {name} is {float(values[member])} "
            f"after {update} updates of epoch {self.epochs}. Lower dynamics.learning_rate, or look "
            "at the data (`vrl data stats`)."
        )

    def end_epoch(self) -> None:
        """Judge all members by the hold-out, and keep those that got better."""
        errors = self.errors()
        better = errors < self.best_error * (1 - self.config.improvement)
        self.best_error = torch.where(better, errors, self.best_error)
        for name, value in self.model.member_tensors().items():
            chosen = better.view(-1, *[1] * (value.ndim - 1))
            self.best[name] = torch.where(chosen, value, self.best[name])
        self.stale_epochs = 0 if bool(better.any()) else self.stale_epochs + 1
        self.stopped = self.stale_epochs > self.config.patience
        self.holdout_error.copy_(errors.mean())

    def finish(self) -> None:
        """Give every member its best weights, name the elites, and let go of the data.

        An epoch that was cut short by the number of updates is judged like a whole one.
        """
        if not self.stopped and int(self.position):
            self.end_epoch()
        for name, value in self.model.member_tensors().items():
            value.copy_(self.best[name])  # of the parameter's own memory
        self.model.requires_grad_(False)
        self.elites = self.best_error.argsort(stable=True)[: self.config.elites]
        self.finished, self.data = True, None
        self._order = self._order[:, :0].clone()

    def state_dict(self) -> dict[str, Any]:
        """Return model, optimiser, best weights, and how far the training has come."""
        names = ("seed", "epochs", "stale_epochs", "stopped", "finished")
        tensors = ("position", "best_error", "holdout_error", "elites")
        return {
            "model": dict(self.model.state_dict()),
            # The finished model rests: what only its training needs is not kept.
            "optimiser": {} if self.finished else self.optimiser.state_dict()["state"],
            "best": {} if self.finished else dict(self.best),
            **{name: getattr(self, name) for name in names},
            **{name: getattr(self, name).clone() for name in tensors},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self.model.load_state_dict(state["model"])
        for name in ("seed", "epochs", "stale_epochs", "stopped", "finished"):
            setattr(self, name, state[name])
        for name in ("position", "best_error", "holdout_error", "elites"):
            setattr(self, name, state[name].to(self.device))
        if self.finished:
            self.model.requires_grad_(False)
            return
        self.best = {name: value.to(self.device) for name, value in state["best"].items()}
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": state["optimiser"], "param_groups": groups})


def warn_of_large_rewards(
    reward: Float[Tensor, " transition"], state_std: Float[Tensor, " state"]
) -> None:
    """Warn when errors of the reward will hide those of the states.

    Both are learnt in the data's units, under one bound of the variance: rewards far larger than
    states fill the loss, the hold-out that names the elites, and the penalty max-std.
    """
    rewards, states = float(reward.std(correction=0)), float(state_std.max())
    if rewards > LARGE_REWARDS * states > 0:
        warnings.warn(
            f"The rewards' deviation, {rewards:.3g}, is {rewards / states:.3g} times that of the "
            f"states, {states:.3g} at most: the dynamics will learn rewards alone. Make the data "
            "anew with smaller ones, such as `vrl data collect --task hiv --reward-scale 1e-6`."
        )


def build_optimiser(config: DynamicsConfig, model: ProbabilisticEnsemble) -> Adam:
    """Return Adam with each layer's decay of the weights; biases and bounds have none.

    The decay is that of a loss decay * w^2 / 2, whose gradient Adam's own adds for nothing.
    """
    heads = (model.mean_head, model.variance_head)
    decays = [*config.weight_decay[:-1], *[config.weight_decay[-1]] * len(heads)]
    groups: list[dict[str, Any]] = [
        {"params": [layer.weight], "weight_decay": decay}
        for layer, decay in zip(model.layers(), decays, strict=True)
    ]
    weights = {id(layer.weight) for layer in model.layers()}
    others = [value for value in model.parameters() if id(value) not in weights]
    groups.append({"params": others, "weight_decay": 0.0})
    return Adam(groups, learning_rate=config.learning_rate)
