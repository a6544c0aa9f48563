"""What every algorithm on a world model is made of: the model, its phase, and frozen latents."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vrl_core.batches import OBSERVATION
from vrl_core.device import preserve_random_state, resolve_precision
from vrl_core.episodes import DataSpec
from vrl_core.errors import VRLError
from vrl_core.observations import choose_fields, narrowed, require_weights_of
from vrl_core.protocols import Metrics, Phase, SequenceBatch, Sequences
from vrl_core.replay import Replay
from vrl_worldmodel.config import WorldModelAlgorithmConfig
from vrl_worldmodel.logged_rollouts import LoggedRollouts
from vrl_worldmodel.model_source import ModelSource, has_model, load_model, missing_model
from vrl_worldmodel.optimiser import ModuleOptimiser
from vrl_worldmodel.policy import RecurrentPolicy
from vrl_worldmodel.rssm import LatentState
from vrl_worldmodel.world_model import WorldModel

CACHED_TOGETHER = 256
"""Observations that are encoded at once for the cache."""
COLLAPSED = 0.1
"""KL divergence, in nats, below which the posterior is said to have collapsed onto the prior."""


class WorldModelLearner:
    """Trains a world model, then freezes it and serves the latents of logged data.

    With `config.model_run` the model is another run's, and there is no model phase.
    """

    config: WorldModelAlgorithmConfig

    def __init__(
        self, config: WorldModelAlgorithmConfig, spec: DataSpec, device: torch.device
    ) -> None:
        self.config = config
        self.device = device
        self.fields = choose_fields(spec, config.observations, type(self).__name__)
        self.action_size = spec.action_size
        self.bfloat16 = resolve_precision(config.precision, device) == torch.bfloat16
        self.model = WorldModel(config.model, self.fields, spec.action_size).to(device)
        self.model_optimiser = ModuleOptimiser(
            [self.model],
            learning_rate=config.model.learning_rate,
            epsilon=config.model.epsilon,
            weight_decay=config.model.weight_decay,
            clip=config.model.gradient_clip,
        )
        self.encodings: Float[Tensor, "row feature"] | None = None
        """Encodings of every observation of the data, once the model is frozen."""
        self.model_source: ModelSource | None = None
        """Where the model was trained, if not here."""
        folder, at = config.model_run, config.model_run_step
        if folder is not None and has_model(folder, at):
            seen = narrowed(spec, self.fields)
            weights, self.model_source = load_model(folder, config.model, seen, at)
            self.model.load_state_dict(weights)

    def autocast(self) -> torch.autocast:
        """Return the context in which networks run in the chosen precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)

    def model_phases(self) -> tuple[Phase, ...]:
        """Return the model's phase, or nothing if the model comes from another run."""
        return () if self.config.model_run is not None else (self.model_phase(),)

    def model_phase(self) -> Phase:
        """Return the phase that trains the model on windows of `model.sequence_length`."""
        return Phase(
            "model",
            self.config.model_steps,
            self._windows(*self.fields.names),
            self.update_model,
            replayable=True,
            prepare=self.prepare_model,
        )

    def latent_sequences(self) -> Sequences:
        """Return the request for windows whose latents are wanted.

        Without their observations if these are cached.
        """
        return self._windows() if self.config.cache_encodings else self._windows(*self.fields.names)

    def _windows(self, *observations: str) -> Sequences:
        model = self.config.model
        length = model.sequence_length - 1  # so many steps join L observations
        return Sequences(batch_size=model.batch_size, length=length, observations=observations)

    def update_model(self, batch: SequenceBatch) -> Metrics:
        """Take one step on encoder, recurrent model, decoder and reward head."""
        with self.autocast():
            loss, metrics = self.model.loss(batch)
        norm = self.model_optimiser.step_on(loss)
        return metrics | {"gradient_norm": norm}

    def prepare_model(self, replay: Replay, seed: int) -> None:
        """Check the data, and standardise its vectors, if it has some, from now on."""
        self.check_data(replay, seed)
        if self.model.vectors is not None:
            self.model.vectors.fit(replay)

    def check_data(self, replay: Replay, seed: int) -> None:  # noqa: ARG002
        """Warn of episodes shorter than a window; raise `VRLError` when all of them are."""
        wanted = self.config.model.sequence_length
        lengths = [steps + 1 for _, steps in replay.episodes]
        short = sum(length < wanted for length in lengths)
        if not short:
            return
        has = f"{short} of {len(lengths)} episodes have fewer than {wanted} observations"
        advice = f"(model.sequence_length; the shortest has {min(lengths)})"
        if short == len(lengths):
            way_out = f"Set model.sequence_length to {max(lengths)} or less"
            raise VRLError(f"{has} {advice}. {way_out}, or collect longer episodes.")
        warnings.warn(f"{has} {advice}: no batch shows them.")

    def freeze_and_cache(self, replay: Replay, seed: int) -> None:
        """Freeze the model for good and, if `cache_encodings`, encode all observations of the data.

        The cache lies on the device in the encoder's own output precision: nothing is rounded.
        """
        self.require_model()
        self.check_data(replay, seed)
        self.model.requires_grad_(False)
        self.check_divergence(replay, seed)
        if self.config.cache_encodings:
            self.encodings = self._encode_all(replay)

    @torch.no_grad()
    def check_divergence(self, replay: Replay, seed: int) -> None:
        """Warn if the posterior collapsed onto the prior: its latents tell nothing of the data."""
        batch = replay.batch(self._windows(*self.fields.names), seed, 0)
        # What is prepared after this is drawn as if this had not been.
        with preserve_random_state(self.device), self.autocast():
            divergence = float(self.model.loss(batch)[1]["kl"])
        if divergence < COLLAPSED:
            warnings.warn(
                f"The model's posterior says hardly more than its prior: a KL divergence of "
                f"{divergence:.2g} nats. Its latents ignore what is observed, and no policy can "
                "learn much on them. Train the model longer, or with model.free_nats of 1 or more."
            )

    @torch.no_grad()
    def _encode_all(self, replay: Replay) -> Float[Tensor, "row feature"]:
        encodings: Tensor | None = None
        for start in range(0, replay.rows, CACHED_TOGETHER):
            stop = min(start + CACHED_TOGETHER, replay.rows)
            with self.autocast():
                encoded = self.model.encode(
                    {
                        name: replay.read(OBSERVATION + name, start, stop)
                        for name in self.fields.names
                    }
                )
            if encodings is None:
                encodings = encoded.new_empty(replay.rows, encoded.shape[-1])
            encodings[start:stop] = encoded
        assert encodings is not None  # a store has rows
        return encodings

    @torch.no_grad()
    def posterior_states(self, batch: SequenceBatch) -> LatentState:
        """Infer the latent states `(batch, time, ...)` of a batch, sampled from the posteriors."""
        with self.autocast():
            states: LatentState = self.model.infer(self._embeddings(batch), batch.action).states
        return states

    def _embeddings(self, batch: SequenceBatch) -> Float[Tensor, "batch time feature"]:
        if self.encodings is None:
            return self.model.encode(batch.observations)
        found = self.encodings.index_select(0, batch.rows.flatten())
        return found.reshape(*batch.rows.shape, -1)

    def require_model(self) -> None:
        """Raise `VRLError` if the model is another run's, and neither it nor a checkpoint of the
        model's user was read: a trained policy needs no model run, training does.
        """
        if self.config.model_run is not None and self.model_source is None:
            raise missing_model(self.config.model_run, self.config.model_run_step)

    def rollout_model(self) -> LoggedRollouts:
        """Return the model as vrl-theory judges it."""
        return LoggedRollouts(self.model)

    def policy_from(self, act: Callable[[Tensor], Tensor]) -> RecurrentPolicy:
        """Return the policy that acts by `act`, from features to actions, on inferred states.

        Without updates after the model's there is no policy: it raises `VRLError` when it is to
        act, as this does when `model_run` names no run.
        """
        self.require_model()
        return RecurrentPolicy(
            model=self.model,
            act_on=act if self.config.steps else refuse_to_act,
            action_size=self.action_size,
            latent=self.config.evaluation_latent,
            device=self.device,
            autocast=self.autocast,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the model with its optimiser, or with the run it was trained in."""
        state: dict[str, Any] = {"model": dict(self.model.state_dict())}
        if self.model_source is not None:
            return state | {"model_source": self.model_source.to_data()}
        return state | {"model_optimiser": self.model_optimiser.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`; raises `VRLError` for one of other observation fields."""
        require_weights_of(self.fields, self.model.state_dict(), state["model"])
        self.model.load_state_dict(state["model"])
        if self.config.model_run is not None:
            self.model_source = ModelSource(**state["model_source"])
        else:
            self.model_optimiser.load_state_dict(state["model_optimiser"])


def refuse_to_act(_features: Tensor) -> Tensor:
    """Stand in for the actor of a run that trains its model alone; raises `VRLError`."""
    raise VRLError(
        "steps is 0, so this run trains its world model alone and has no policy to evaluate. Add "
        "--evaluation-episodes 0; other runs learn in its model with --model-run."
    )
