"""Make one behaviour of several, each of which does a part of the task.

`python -m vrl_envs.behaviours.imitation --task T --teachers FOLDER FOLDER --output FOLDER`, with
the folders of two trainings. On D'Claw's random screws the one turns the valve forward and the
other backward: the way is not in what a behaviour sees, so one that learns both by itself settles
on one. On the humanoid the one gets up and the other walks: who has learnt to walk for a whole
episode hardly ever lies. Dataset aggregation (Ross et al. 2011, Algorithm 3.1): the student acts,
and learns what the teacher whose turn it is would have done in each state that it came to.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from safetensors.torch import save_file
from torch import Tensor

from vrl_core.errors import VRLError, unknown_name
from vrl_core.hooks import EnvironmentConfig
from vrl_core.soft_actor_critic import TanhGaussianActor
from vrl_envs.behaviours.card import BehaviourCard, Returns
from vrl_envs.behaviours.humanoid_lessons import HumanoidLessons, HumanoidLessonsEnvironment
from vrl_envs.behaviours.observation_scale import ObservationScale
from vrl_envs.behaviours.policy import BehaviourPolicy
from vrl_envs.behaviours.shipped import LESSON_TASKS, policy_path
from vrl_envs.behaviours.shipping import versions
from vrl_envs.behaviours.state_shipping import policy_returns
from vrl_envs.collection import episode_streams, run_episode
from vrl_envs.dclaw.config import DClaw
from vrl_envs.settings import check_at_least

SCREWS = ("screw_random", "screw_random_dynamics")
TASKS = (*SCREWS, *LESSON_TASKS)
"""What can be taught in parts."""
RECORDED = ("task", "rounds", "episodes", "updates", "batch_size", "learning_rate", "seed")
"""Settings that a card tells."""
ACTION_PRECISION = 0.1
"""How far off an action of the student may be, of [-1, 1], where that counts as much as a deviation
that is wrong by a factor of e."""


@dataclass(frozen=True, kw_only=True)
class Imitation:
    """Train one policy from two teachers, each of which does a part of the task."""

    task: str = "screw_random"
    """`screw_random` or `screw_random_dynamics`: teachers that turn forward and backward;
    `humanoid_walk`: one that gets up and one that walks."""
    teachers: tuple[Path, Path]
    """Folders of the two trainings, in this order."""
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
    """Adam's rate at the start of a round; it falls to a tenth in each."""
    hidden_sizes: tuple[int, ...] = (256, 256)
    """Widths of the student's hidden layers."""
    evaluation_episodes: int = 100
    """Episodes of the card's returns."""
    seed: int = 0
    """Seed of the student, its episodes and its batches."""
    assets: Path | None = None
    """Folder with ROBEL's model, as in the environment `dclaw`."""

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise unknown_name("task taught in parts", self.task, TASKS)
        for name in ("rounds", "episodes", "updates", "batch_size", "evaluation_episodes"):
            check_at_least(name, getattr(self, name), 1)
        check_at_least("seed", self.seed, 0)

    def environment(self) -> EnvironmentConfig:
        """Return the task's environment, on states."""
        if self.task in SCREWS:
            return DClaw(task=self.task, observation="state", assets=self.assets)
        return HumanoidLessons(task=self.task, lying_share=1.0, height_reward=0.0)


def teacher_in_turn(environment: Any) -> int:
    """Return which teacher is asked now: by what only a teacher need know, or by posture."""
    if isinstance(environment, HumanoidLessonsEnvironment):
        return int(environment.on_its_feet)
    return 0 if environment.rate >= 0 else 1


@dataclass(frozen=True)
class Lesson:
    """States `(N, state)` and what a teacher's policy is in each, before the tanh."""

    states: np.ndarray
    means: np.ndarray
    deviations: np.ndarray


class Student:
    """The policy that learns, on states of mean 0 and deviation 1."""

    def __init__(self, config: Imitation, states: int, actions: int) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.actor = TanhGaussianActor(states, actions, config.hidden_sizes)
        self.optimiser = torch.optim.Adam(self.actor.parameters())
        self.scale = ObservationScale(states)
        self.rng = np.random.default_rng(config.seed)
        self.lessons: list[Lesson] = []

    def distribution(self, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and deviation before the tanh, `(action,)` each."""
        with torch.no_grad():
            mean, deviation = self.actor.distribution(self.scale(torch.from_numpy(state)[None]))
        return mean[0].numpy(), deviation[0].numpy()

    def learn(self) -> float:
        """Take the updates of a round; return the mean loss of the last hundred."""
        if not self.scale.count:
            self.scale.add(np.concatenate([lesson.states for lesson in self.lessons]))
        states, means, deviations = (
            torch.from_numpy(np.concatenate([getattr(lesson, name) for lesson in self.lessons]))
            for name in ("states", "means", "deviations")
        )
        states = self.scale(states)
        losses = []
        for update in range(self.config.updates):
            for group in self.optimiser.param_groups:
                group["lr"] = self.config.learning_rate * (1 - 0.9 * update / self.config.updates)
            rows = torch.from_numpy(self.rng.integers(len(states), size=self.config.batch_size))
            found = self.actor.distribution(states[rows])
            loss = imitation_loss(means[rows], deviations[rows], *found).mean()
            self.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
            losses.append(loss.item())
        return float(np.mean(losses[-100:]))

    def write(self, path: Path) -> None:
        """Write the policy, which takes states as they are."""
        path.parent.mkdir(parents=True, exist_ok=True)
        actor = self.scale.folded(self.actor.state_dict())
        save_file({name: value.contiguous() for name, value in actor.items()}, path)


def imitate(config: Imitation) -> BehaviourCard:
    """Train the student, write it with its card, and return the card.

    Raises `VRLError` when a teacher is missing or the model of D'Claw is not there.
    """
    teachers = [read_teacher(config, folder) for folder in config.teachers]
    if len({teacher.observation_size for teacher in teachers}) != 1:
        raise VRLError("The two teachers see states of different sizes.")
    environment: Any = config.environment().build()
    student = Student(config, teachers[0].observation_size, teachers[0].action_size)
    for number in range(config.rounds):
        returns = []
        for episode in range(config.episodes):
            seed, noise = episode_streams(config.seed, number * config.episodes + episode)
            acting = student.distribution if number else None
            lesson, earned = play(environment, seed, noise, teachers, acting)
            student.lessons.append(lesson)
            returns.append(earned)
        who = "student" if number else "teachers"
        told = f"round {number + 1} of {config.rounds}: the {who} had {np.mean(returns):.0f}"
        print(f"{told}, then loss {student.learn():.3f}", flush=True)
    path = config.output / "policies" / config.task / f"{config.quality}.safetensors"
    student.write(path)
    returns = policy_returns(
        BehaviourPolicy.read(path), environment, episodes=config.evaluation_episodes
    )
    environment.close()
    card = describe(config, teachers[0], returns)
    card.write(path.with_suffix(".json"))
    return card


def read_teacher(config: Imitation, folder: Path) -> BehaviourPolicy:
    """Read a teacher's policy. Raises `VRLError` when there is none."""
    return BehaviourPolicy.read(policy_path(config.task, config.quality, folder))


def play(
    environment: Any,
    seed: int,
    noise: np.random.Generator,
    teachers: Sequence[BehaviourPolicy],
    student: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] | None,
) -> tuple[Lesson, float]:
    """Play an episode, as the teachers or as the student, and note the teacher whose turn it is.

    Returns the lesson and the episode's return.
    """
    advice: list[tuple[np.ndarray, np.ndarray]] = []

    def act(state: np.ndarray) -> np.ndarray:
        advice.append(teachers[teacher_in_turn(environment)].distribution(state))
        mean, deviation = advice[-1] if student is None else student(state)
        drawn: np.ndarray = np.tanh(mean + deviation * noise.standard_normal(len(mean)))
        return drawn.astype(np.float32)

    episode = run_episode(environment, seed, act)
    means, deviations = (np.stack(each).astype(np.float32) for each in zip(*advice, strict=True))
    lesson = Lesson(episode.observations["state"][:-1], means, deviations)
    return lesson, episode.undiscounted_return


def imitation_loss(
    mean: Tensor, deviation: Tensor, other_mean: Tensor, other_deviation: Tensor
) -> Tensor:
    """Return how far one tanh-squashed Gaussian is from another, summed over the last axis.

    Half the squared distance of the squashed means, in `ACTION_PRECISION`, and the squared
    distance of the deviations' logarithms. The Kullback-Leibler divergence, which the tanh leaves
    as it is, would spend the network on means of 3 and of 6, whose actions are the same.
    """
    actions = (mean.tanh() - other_mean.tanh()) / ACTION_PRECISION
    return (0.5 * actions.square() + (deviation.log() - other_deviation.log()).square()).sum(-1)


def describe(config: Imitation, teacher: BehaviourPolicy, returns: list[float]) -> BehaviourCard:
    """Return the card of the student."""
    told: dict[str, Any] = {name: getattr(config, name) for name in RECORDED}
    steps = 500 if config.task in LESSON_TASKS else DClaw().horizon
    parts = "gets up and one that walks" if config.task in LESSON_TASKS else "turns each way"
    words = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in told.items())
    sizes = " ".join(map(str, config.hidden_sizes))
    return BehaviourCard(
        task=config.task,
        quality=config.quality,
        action_size=teacher.action_size,
        observation_size=teacher.observation_size,
        hidden_sizes=config.hidden_sizes,
        returns=Returns.of(returns),
        training_steps=config.rounds * config.episodes * steps,
        training=told,
        command=f"python -m vrl_envs.behaviours.imitation {words} --hidden-sizes {sizes} "
        "--teachers FOLDER FOLDER",
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        versions=versions(),
        note=f"Imitates an agent that {parts}.",
    )


if __name__ == "__main__":
    torch.set_num_threads(1)  # these networks are too small to share
    try:
        told = imitate(tyro.cli(Imitation, description=Imitation.__doc__)).returns
    except VRLError as error:
        sys.exit(f"error: {error}")
    print(f"return {told.mean:.0f} +- {told.std:.0f}, {told.low:.0f} to {told.high:.0f}")
