"""Train the behaviour policies that the datasets are collected with (V-D4RL, Appendix B.1).

Soft actor-critic on proprioceptive states with an action repeat of 2: one episode with the
stochastic policy, then updates on everything seen so far. Every checkpoint is evaluated with the
stochastic policy, because that is what collects the data. The run resumes where it stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from vrl_core.atomic import replacing
from vrl_core.errors import VRLError
from vrl_core.interruption import Interruption
from vrl_core.soft_actor_critic import SoftActorCritic, SoftActorCriticConfig, StateBatch
from vrl_envs.behaviours.run_record import check_training, forget_after, record_settings
from vrl_envs.dmc.environment import load_task
from vrl_envs.settings import check_at_least

SIMULATOR_STEPS = 1000  # in an episode of the suite
SAVE_SECONDS = 240.0


@dataclass(frozen=True, kw_only=True)
class BehaviourTraining:
    """How one behaviour agent is trained; the file beside the policies records it."""

    task: str
    """dm_control task as `domain_task`, such as `walker_walk`."""
    steps: int = 400_000
    """Agent steps in all; a simulator step more for each, because actions repeat twice."""
    action_repeat: int = 2
    """Simulator steps for each action; the datasets have 2."""
    seed: int = 0
    """Seed of the networks, the exploration, the batches and the episodes' first states."""
    random_steps: int = 5_000
    """Agent steps of uniform actions before the first update."""
    updates_per_step: float = 1.0
    """Gradient updates for each agent step."""
    batch_size: int = 256
    """Transitions in a batch."""
    return_steps: int = 1
    """Rewards summed in a transition before it bootstraps (n of the n-step return)."""
    evaluate_every: int = 5_000
    """Agent steps between checkpoints: the paper's 10,000 frames."""
    evaluation_episodes: int = 10
    """Episodes of the stochastic policy at each checkpoint."""
    start_from: str = ""
    """Folder of a finished run whose networks this one starts with, if any.

    A gait found at a longer action repeat is refined at the datasets' own this way.
    """
    agent: SoftActorCriticConfig = field(default_factory=SoftActorCriticConfig)
    """Soft actor-critic's own sizes and rates."""

    def __post_init__(self) -> None:
        """Refuse numbers of which no training comes; raises `VRLError`."""
        check_training(self)
        check_at_least("action_repeat", self.action_repeat, 1)
        check_at_least("return_steps", self.return_steps, 1)


class StateTask:
    """A dm_control task on its flat state; episodes of 1000 simulator steps."""

    def __init__(self, task: str, action_repeat: int = 2) -> None:
        self.action_repeat = action_repeat
        self.episode_steps = SIMULATOR_STEPS // action_repeat
        domain, _, name = task.partition("_")
        self.environment = load_task(domain, name)
        self.physics = self.environment.physics
        self.action_size = int(self.environment.action_spec().shape[0])
        self.observation_size = flat(self.environment.reset().observation).size

    def reset(self, seed: int) -> np.ndarray:
        """Start the episode of this seed and return its first observation `(observation,)`."""
        self.environment.task.random.seed(seed)
        return flat(self.environment.reset().observation)

    def observation(self) -> np.ndarray:
        """Return the observation `(observation,)` of the simulator's state as it is now."""
        return flat(self.environment.task.get_observation(self.physics))

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float]:
        """Apply an action, repeated; return the observation and the rewards' sum."""
        reward = 0.0
        for _ in range(self.action_repeat):
            step = self.environment.step(action)
            reward += step.reward
        return flat(step.observation), reward


def flat(observation: dict[str, Any]) -> np.ndarray:
    """Concatenate a dm_control observation into one float32 vector, in dm_control's order."""
    return np.concatenate([np.ravel(value) for value in observation.values()]).astype(np.float32)


@dataclass(frozen=True)
class StateEpisode:
    """One episode on states: T+1 observations and positions, T actions and rewards."""

    observations: np.ndarray
    positions: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray


def run_episode(
    task: StateTask, seed: int, act: Callable[[np.ndarray], np.ndarray]
) -> StateEpisode:
    """Run `act` for one episode from the first state of `seed`."""
    observation = task.reset(seed)
    observations, positions = [observation], [task.physics.data.qpos.copy()]
    actions, rewards = [], []
    for _ in range(task.episode_steps):
        # Halves are what a replay file stores, so the executed action is one exactly.
        action = act(observation).astype(np.float16).astype(np.float32)
        observation, reward = task.step(action)
        observations.append(observation)
        positions.append(task.physics.data.qpos.copy())
        actions.append(action)
        rewards.append(reward)
    return StateEpisode(
        np.stack(observations),
        np.stack(positions).astype(np.float32),
        np.stack(actions),
        np.asarray(rewards, np.float32),
    )


class EpisodeReplay:
    """All episodes so far as flat arrays, with n-step transitions drawn uniformly."""

    def __init__(
        self, episodes: int, steps: int, *, observation: int, position: int, action: int
    ) -> None:
        self.steps = steps
        self.arrays = {
            "observations": np.zeros((episodes, steps + 1, observation), np.float32),
            "positions": np.zeros((episodes, steps + 1, position), np.float32),
            "actions": np.zeros((episodes, steps, action), np.float32),
            "rewards": np.zeros((episodes, steps), np.float32),
        }
        self.episodes = 0

    def add(self, episode: StateEpisode) -> None:
        """Append one episode."""
        for name, array in self.arrays.items():
            array[self.episodes] = getattr(episode, name)
        self.episodes += 1

    def batch(self, rng: np.random.Generator, size: int, steps: int, discount: float) -> StateBatch:
        """Draw transitions; windows cut off by the time limit bootstrap from its last state."""
        index = rng.integers(self.episodes * self.steps, size=size)
        episode, start = index // self.steps, index % self.steps
        end = np.minimum(start + steps, self.steps)
        reward = np.zeros(size, np.float32)
        for k in range(steps):
            inside = start + k < self.steps
            row = np.minimum(start + k, self.steps - 1)
            reward += inside * discount**k * self.arrays["rewards"][episode, row]
        observations = self.arrays["observations"]
        return StateBatch(
            torch.from_numpy(observations[episode, start]),
            torch.from_numpy(self.arrays["actions"][episode, start]),
            torch.from_numpy(reward.astype(np.float32)),
            torch.from_numpy((discount ** (end - start)).astype(np.float32)),
            torch.from_numpy(observations[episode, end]),
        )

    def state(self) -> dict[str, torch.Tensor]:
        """The filled part of every array."""
        return {
            name: torch.from_numpy(a[: self.episodes].copy()) for name, a in self.arrays.items()
        }

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Fill the arrays from `state()`."""
        self.episodes = len(state["rewards"])
        for name, array in self.arrays.items():
            array[: self.episodes] = state[name].numpy()


class BehaviourRun:
    """One training run in a folder: `training.json`, `metrics.jsonl`, `policies/`, `resume`.

    Raises `VRLError` for a folder with a training of other settings.
    """

    def __init__(self, config: BehaviourTraining, folder: Path) -> None:
        torch.manual_seed(config.seed)
        self.config, self.folder = config, folder
        self.task = StateTask(config.task, config.action_repeat)
        sizes = (self.task.observation_size, self.task.action_size)
        self.agent = SoftActorCritic(config.agent, *sizes)
        positions = self.task.physics.data.qpos.size
        episode_steps = self.task.episode_steps
        self.replay = EpisodeReplay(
            config.steps // episode_steps + 1,
            episode_steps,
            observation=sizes[0],
            position=positions,
            action=sizes[1],
        )
        self.rng = np.random.default_rng(config.seed)
        self.updates = 0
        (folder / "policies").mkdir(parents=True, exist_ok=True)
        record_settings(config, folder)
        if (folder / "resume.safetensors").exists():
            self.load()
        elif config.start_from:
            self.start_from(Path(config.start_from))
        forget_after(self.steps, folder)

    def start_from(self, folder: Path) -> None:
        """Take over another run's networks. Raises `VRLError` when it has saved none."""
        self.agent.load_state_dict(part(load_file(saved_state(folder)), "agent."))

    @property
    def steps(self) -> int:
        """Agent steps taken so far."""
        return self.replay.episodes * self.replay.steps

    def act(self, observation: np.ndarray) -> np.ndarray:
        """Sample the stochastic policy's action for one observation."""
        return self.agent.actor.act(torch.from_numpy(observation)[None], stochastic=True)[0].numpy()

    def act_uniformly(self, observation: np.ndarray) -> np.ndarray:  # noqa: ARG002
        """Draw a uniform action."""
        return self.rng.uniform(-1, 1, self.task.action_size)

    def collect(self) -> float:
        """Add one episode to the replay and return its return."""
        uniform = self.steps < self.config.random_steps and not self.config.start_from
        act = self.act_uniformly if uniform else self.act
        seed = 1_000_000 * (self.config.seed + 1) + self.replay.episodes
        episode = run_episode(self.task, seed, act)
        self.replay.add(episode)
        return float(episode.rewards.sum())

    def update(self) -> dict[str, float]:
        """Take the updates that one episode pays for; return the last one's metrics."""
        if self.steps <= self.config.random_steps:
            return {}
        config = self.config
        for _ in range(round(self.replay.steps * config.updates_per_step)):
            batch = self.replay.batch(
                self.rng, config.batch_size, config.return_steps, config.agent.discount
            )
            metrics = self.agent.update(batch)
            self.updates += 1
        return {name: float(value) for name, value in metrics.items()}

    def evaluate(self) -> list[float]:
        """Returns of the stochastic policy on fixed evaluation seeds."""
        return [
            float(run_episode(self.task, seed, self.act).rewards.sum())
            for seed in range(self.config.evaluation_episodes)
        ]

    def save_policy(self) -> None:
        """Write the actor of this step."""
        state = {name: value.contiguous() for name, value in self.agent.actor.state_dict().items()}
        save_file(state, self.folder / "policies" / f"step_{self.steps:08d}.safetensors")

    def save(self) -> None:
        """Write everything that a resumed run needs, replacing the previous file at once."""
        tensors = {f"agent.{k}": v for k, v in self.agent.state_dict().items()}
        tensors |= {f"replay.{k}": v for k, v in self.replay.state().items()}
        tensors |= optimiser_tensors(self.agent)
        tensors["torch_rng"] = torch.get_rng_state()
        note = {"rng": json.dumps(self.rng.bit_generator.state), "updates": str(self.updates)}
        with replacing(self.folder / "resume.safetensors") as partial:
            save_file({k: v.contiguous() for k, v in tensors.items()}, partial, metadata=note)

    def load(self) -> None:
        """Continue from the last `save()`."""
        path = self.folder / "resume.safetensors"
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            note = file.metadata()
        self.rng.bit_generator.state = json.loads(note["rng"])
        self.updates = int(note["updates"])
        self.agent.load_state_dict(part(tensors, "agent."))
        self.replay.restore(part(tensors, "replay."))
        restore_optimisers(self.agent, tensors)
        torch.set_rng_state(tensors["torch_rng"])

    def run(self) -> Iterator[dict[str, Any]]:
        """Train to the configured number of steps, yielding one record for each episode.

        Asked to stop, it finishes the episode and its updates, saves, and raises
        `KeyboardInterrupt`.
        """
        started, saved = time.monotonic(), time.monotonic()
        with Interruption() as interruption:
            while self.steps < self.config.steps:
                record: dict[str, Any] = {"return": self.collect()}
                record |= {"steps": self.steps, "updates": self.updates} | self.update()
                evaluated = self.steps % self.config.evaluate_every == 0
                if evaluated:
                    self.save_policy()
                    record["evaluation"] = self.evaluate()
                record["seconds"] = round(time.monotonic() - started, 1)
                with (self.folder / "metrics.jsonl").open("a") as log:
                    log.write(json.dumps(record) + "\n")
                if evaluated and time.monotonic() - saved > SAVE_SECONDS:
                    self.save()
                    saved = time.monotonic()
                yield record
                if interruption.requested:
                    self.save()
                    raise KeyboardInterrupt
        self.save()


def saved_state(folder: Path) -> Path:
    """Return what a run saved, to start from. Raises `VRLError` when it has saved nothing."""
    path = folder / "resume.safetensors"
    if not path.is_file():
        raise VRLError(
            f"This training starts from the networks of the run in {folder}, which has no "
            f"{path.name}. Train that one first, or name another folder with --start-from."
        )
    return path


def part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors under a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def optimiser_tensors(agent: SoftActorCritic) -> dict[str, torch.Tensor]:
    """The states of an agent's optimisers, by `optimiser.<name>.<parameter>.<entry>`."""
    return {
        f"optimiser.{name}.{index}.{entry}": value
        for name, optimiser in agent.optimisers.items()
        for index, state in optimiser.state_dict()["state"].items()
        for entry, value in state.items()
    }


def restore_optimisers(agent: SoftActorCritic, tensors: dict[str, torch.Tensor]) -> None:
    """Put `optimiser_tensors` back."""
    for name, optimiser in agent.optimisers.items():
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in part(tensors, f"optimiser.{name}.").items():
            index, _, entry = key.partition(".")
            state.setdefault(int(index), {})[entry] = value
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": state, "param_groups": groups})
