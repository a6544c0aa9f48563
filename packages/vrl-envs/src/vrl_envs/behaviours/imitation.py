"""Make one behaviour of two, each of which turns D'Claw's valve one way.

`python -m vrl_envs.behaviours.imitation --teachers FORWARD BACKWARD --output FOLDER`, with the
folders of two trainings on `screw_random` (presets `forward` and `backward`). The way is not
in what a behaviour sees, so one that learns both by itself settles on one. Dataset aggregation
(Ross et al. 2011, Algorithm 3.1): the student acts, and learns what the teacher of the
episode's direction would have done in each state that it came to.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from safetensors.torch import save_file
from torch import Tensor

from vrl_core.errors import VRLError
from vrl_core.soft_actor_critic import TanhGaussianActor
from vrl_envs.behaviours.card import BehaviourCard, Returns
from vrl_envs.behaviours.policy import BehaviourPolicy
from vrl_envs.behaviours.shipped import policy_path
from vrl_envs.behaviours.shipping import versions
from vrl_envs.behaviours.state_shipping import policy_returns
from vrl_envs.collection import episode_streams, run_episode
from vrl_envs.dclaw.config import DClaw
from vrl_envs.settings import check_at_least

TASK = "screw_random"


@dataclass(frozen=True, kw_only=True)
class Imitation:
    """Train one policy from two teachers of D'Claw's `screw_random`."""

    teachers: tuple[Path, Path]
    """Folders of the trainings that turn the valve forward and backward."""
    output: Path
    """Folder of behaviours that gets the policy and its card."""
    quality: str = "expert"
    """What the policy is called, and the teachers' policies are."""
    rounds: int = 8
    """Times that the student acts and learns; the teachers act in the first."""
    episodes: int = 100
    """Episodes of a round."""
    updates: int = 3_000
    """Gradient updates of a round, on the states of all rounds so far."""
    batch_size: int = 256
    """States in a batch."""
    learning_rate: float = 1e-3
    """Adam's rate."""
    hidden_sizes: tuple[int, ...] = (256, 256)
    """Widths of the student's hidden layers."""
    evaluation_episodes: int = 100
    """Episodes of the card's returns."""
    seed: int = 0
    """Seed of the student, its episodes and its batches."""
    assets: Path | None = None
    """Folder with ROBEL's model, as in the environment."""

    def __post_init__(self) -> None:
        for name in ("rounds", "episodes", "updates", "batch_size", "evaluation_episodes"):
            check_at_least(name, getattr(self, name), 1)
        check_at_least("seed", self.seed, 0)


@dataclass(frozen=True)
class Lesson:
    """States `(N, state)` and what a teacher's policy is in each, before the tanh."""

    states: np.ndarray
    means: np.ndarray
    deviations: np.ndarray


def imitate(config: Imitation) -> BehaviourCard:
    """Train the student, write it with its card, and return the card.

    Raises `VRLError` when a teacher is missing or D'Claw's model is not there.
    """
    forward, backward = (read_teacher(config, folder) for folder in config.teachers)
    if forward.layers[0][0].shape[1] != backward.layers[0][0].shape[1]:
        raise VRLError("The two teachers see states of different sizes.")
    environment: Any = DClaw(task=TASK, observation="state", assets=config.assets).build()
    torch.manual_seed(config.seed)
    student = TanhGaussianActor(forward.observation_size, forward.action_size, config.hidden_sizes)
    optimiser = torch.optim.Adam(student.parameters(), lr=config.learning_rate)
    rng = np.random.default_rng(config.seed)
    lessons: list[Lesson] = []
    for number in range(config.rounds):
        acting = None if number == 0 else student
        for episode in range(config.episodes):
            index = number * config.episodes + episode
            seed, noise = episode_streams(config.seed, index)
            lessons.append(play(environment, seed, noise, (forward, backward), acting))
        loss = learn(student, optimiser, lessons, config, rng)
        print(f"round {number + 1} of {config.rounds}: divergence {loss:.3f}", flush=True)
    path = config.output / "policies" / TASK / f"{config.quality}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in student.state_dict().items()}, path)
    returns = policy_returns(
        BehaviourPolicy.read(path), environment, episodes=config.evaluation_episodes
    )
    environment.close()
    card = describe(config, student, returns)
    card.write(path.with_suffix(".json"))
    return card


def read_teacher(config: Imitation, folder: Path) -> BehaviourPolicy:
    """Read a teacher's policy. Raises `VRLError` when there is none."""
    return BehaviourPolicy.read(policy_path(TASK, config.quality, folder))


def play(
    environment: Any,
    seed: int,
    noise: np.random.Generator,
    teachers: tuple[BehaviourPolicy, BehaviourPolicy],
    student: TanhGaussianActor | None,
) -> Lesson:
    """Play an episode, as the teacher of its direction or as the student, and note the teacher."""
    advice: list[tuple[np.ndarray, np.ndarray]] = []

    def act(state: np.ndarray) -> np.ndarray:
        # The direction is the episode's, drawn by the reset: the teachers alone know it.
        teacher = teachers[0] if environment.rate >= 0 else teachers[1]
        advice.append(teacher.distribution(state))
        mean, deviation = advice[-1]
        if student is not None:
            with torch.no_grad():
                found = student.distribution(torch.from_numpy(state)[None])
            mean, deviation = (each[0].numpy() for each in found)
        drawn: np.ndarray = np.tanh(mean + deviation * noise.standard_normal(len(mean)))
        return drawn.astype(np.float32)

    episode = run_episode(environment, seed, act)
    means, deviations = (np.stack(each).astype(np.float32) for each in zip(*advice, strict=True))
    return Lesson(episode.observations["state"][:-1], means, deviations)


def learn(
    student: TanhGaussianActor,
    optimiser: torch.optim.Optimizer,
    lessons: list[Lesson],
    config: Imitation,
    rng: np.random.Generator,
) -> float:
    """Take the updates of a round; return the mean divergence of the last hundred."""
    parts = [
        torch.from_numpy(np.concatenate([getattr(lesson, name) for lesson in lessons]))
        for name in ("states", "means", "deviations")
    ]
    losses = []
    for _ in range(config.updates):
        rows = torch.from_numpy(rng.integers(len(parts[0]), size=config.batch_size))
        states, means, deviations = (part[rows] for part in parts)
        loss = gaussian_divergence(means, deviations, *student.distribution(states)).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
    return float(np.mean(losses[-100:]))


def gaussian_divergence(
    mean: Tensor, deviation: Tensor, other_mean: Tensor, other_deviation: Tensor
) -> Tensor:
    """Kullback-Leibler divergence from one diagonal Gaussian to another, summed over the last axis.

    The tanh that squashes both leaves it as it is.
    """
    ratio = deviation / other_deviation
    distance = (mean - other_mean) / other_deviation
    return (0.5 * (ratio.square() + distance.square() - 1) - ratio.log()).sum(-1)


def describe(config: Imitation, student: TanhGaussianActor, returns: list[float]) -> BehaviourCard:
    """Return the card of the student."""
    first, last = student.network[0], student.network[-1]
    settings: Mapping[str, Any] = asdict(config)
    names = ("rounds", "episodes", "updates", "batch_size", "learning_rate", "seed")
    return BehaviourCard(
        task=TASK,
        quality=config.quality,
        action_size=int(last.out_features) // 2,  # type: ignore[arg-type]
        observation_size=int(first.in_features),  # type: ignore[arg-type]
        hidden_sizes=config.hidden_sizes,
        returns=Returns.of(returns),
        training_steps=config.rounds * config.episodes * DClaw().horizon,
        training={"task": TASK} | {name: settings[name] for name in names},
        command="python -m vrl_envs.behaviours.imitation --teachers FORWARD BACKWARD",
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        versions=versions(),
        note="Imitates one agent for each direction (presets forward and backward).",
    )


if __name__ == "__main__":
    torch.set_num_threads(1)  # these networks are too small to share
    try:
        told = imitate(tyro.cli(Imitation, description=Imitation.__doc__)).returns
    except VRLError as error:
        sys.exit(f"error: {error}")
    print(f"return {told.mean:.0f} +- {told.std:.0f}, {told.low:.0f} to {told.high:.0f}")
