"""The settings that the shipped behaviours were trained with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from vrl_core.errors import unknown_name
from vrl_core.soft_actor_critic import SoftActorCriticConfig
from vrl_envs.behaviours.training import BehaviourTraining

_PAPER_PACE = SoftActorCriticConfig(hidden_sizes=(256, 256), learning_rate=1e-4)

PRESETS: Mapping[tuple[str, str], BehaviourTraining] = {
    ("walker_walk", "mixed"): BehaviourTraining(
        task="walker_walk", steps=160_000, seed=0, agent=_PAPER_PACE
    ),
    ("cheetah_run", "mixed"): BehaviourTraining(
        task="cheetah_run", steps=300_000, seed=0, agent=_PAPER_PACE
    ),
    ("walker_walk", "expert"): BehaviourTraining(
        task="walker_walk",
        steps=150_000,
        seed=1,
        evaluate_every=10_000,
        agent=SoftActorCriticConfig(learning_rate=1e-3, critic_layer_norm=True),
    ),
    ("cheetah_run", "expert"): BehaviourTraining(
        task="cheetah_run",
        steps=2_000_000,
        seed=1,
        batch_size=128,
        return_steps=3,
        updates_per_step=0.5,
        evaluate_every=10_000,
        agent=SoftActorCriticConfig(
            learning_rate=3e-4, critic_layer_norm=True, initial_temperature=0.1
        ),
    ),
}
"""Training settings by task and preset: `mixed` learns slowly, as the paper's medium agent does,
and gives the medium policy and the replay; `expert` runs until it has converged."""


def preset(task: str, name: str) -> BehaviourTraining:
    """Return a preset's settings; for other tasks, walker-walk's with the task replaced.

    Raises `VRLError` for an unknown preset.
    """
    names = {known for _, known in PRESETS}
    if name not in names:
        raise unknown_name("training preset", name, names)
    return PRESETS.get((task, name)) or replace(PRESETS["walker_walk", name], task=task)
