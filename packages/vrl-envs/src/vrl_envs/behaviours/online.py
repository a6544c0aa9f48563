"""Train behaviours of state tasks online: soft actor-critic on states, one episode at a time.

MOPO's and D4RL's buffers are what such an agent saw while it learnt (MOPO, Sections 5.1, 5.2 and
Appendix F). The run's folder is laid out as a folder of behaviours is, so
`vrl data collect --quality mixed --behaviours <folder>` makes a dataset of it at any time.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from vrl_core.atomic import replacing
from vrl_core.errors import VRLError
from vrl_core.hooks import EnvironmentConfig
from vrl_core.interruption import Interruption
from vrl_core.soft_actor_critic import SoftActorCritic, SoftActorCriticConfig, StateBatch
from vrl_envs.adroit.config import Adroit
from vrl_envs.behaviours.action_replay import episode_seed
from vrl_envs.behaviours.humanoid_lessons import HumanoidLessons, HumanoidLessonsEnvironment
from vrl_envs.behaviours.humanoid_symmetry import HumanoidSymmetry
from vrl_envs.behaviours.observation_scale import ObservationScale
from vrl_envs.behaviours.run_record import check_training, forget_after, record_settings
from vrl_envs.behaviours.state_replay import (
    StateReplay,
    join,
    read_state_replay,
    write_state_replay,
)
from vrl_envs.behaviours.training import optimiser_tensors, part, restore_optimisers, saved_state
from vrl_envs.behaviours.transition_replay import TransitionReplay
from vrl_envs.dclaw.config import DClaw
from vrl_envs.gym_mujoco.config import GymMuJoCo
from vrl_envs.hiv.config import HIV

SAVE_SECONDS = 240.0
EPISODE_STEPS = 1000  # at most, in Gymnasium's tasks


@dataclass(frozen=True, kw_only=True)
class OnlineTraining:
    """How one behaviour agent is trained; the file beside the policies records it."""

    task: str
    """A task of Gymnasium's MuJoCo ones or MOPO's, `hiv`, or one of D'Claw's or Adroit's."""
    environment: GymMuJoCo | HIV | DClaw | Adroit | HumanoidLessons
    """The environment's settings."""
    judged_on: HumanoidLessons | None = None
    """Where policies are evaluated, if not where they learn."""
    steps: int = 1_000_000
    """Agent steps in all; the last episode is finished."""
    seed: int = 0
    """Seed of the networks, the exploration, the batches and the episodes' first states."""
    random_steps: int = 5_000
    """Agent steps of uniform actions before the first update."""
    updates_per_step: float = 1.0
    """Gradient updates for each agent step."""
    batch_size: int = 256
    """Transitions in a batch."""
    evaluate_every: int = 10_000
    """Agent steps between checkpoints."""
    evaluation_episodes: int = 5
    """Episodes of the stochastic policy at each checkpoint."""
    reward_scale: float = 1.0
    """Factor of the rewards that the agent learns from; the replay has the task's own."""
    normalise: bool = False
    """Show the agent observations of running mean 0 and deviation 1."""
    symmetric: bool = False
    """Draw transitions mirrored and turned, too, where the environment has such a symmetry."""
    demonstrations: int = 0
    """Episodes of the task's demonstrator, if any: half of each batch is drawn from them (Ball et
    al., 2023, "Efficient Online Reinforcement Learning with Offline Data"). The replay has none."""
    start_from: str = ""
    """Folder of a finished run whose networks this one starts with, if any."""
    agent: SoftActorCriticConfig = field(default_factory=SoftActorCriticConfig)
    """Soft actor-critic's own sizes and rates."""

    def __post_init__(self) -> None:
        """Refuse numbers of which no training comes; raises `VRLError`."""
        check_training(self)


class OnlineRun:
    """One training run in a folder, which is a folder of behaviours too.

    `training.json`, `metrics.jsonl`, `steps/` (a policy for every evaluation), `replays/<task>`,
    `policies/<task>/expert` (the newest policy) and `resume.safetensors`. Raises `VRLError` for a
    folder with a training of other settings.
    """

    def __init__(self, config: OnlineTraining, folder: Path) -> None:
        torch.manual_seed(config.seed)
        self.config, self.folder = config, folder
        environment: EnvironmentConfig = config.environment
        self.environment = environment.build()
        self.judge = self.environment if config.judged_on is None else config.judged_on.build()
        self.sizes = (
            int(np.prod(self.environment.observation_space.shape or ())),
            int(np.prod(self.environment.action_space.shape or ())),
        )
        self.agent = SoftActorCritic(config.agent, *self.sizes)
        self.replay = self.room_for(config.steps + longest_episode(config.environment))
        self.scale = ObservationScale(self.sizes[0]) if config.normalise else None
        self.symmetry = symmetry_of(self.environment) if config.symmetric else None
        self.rng = np.random.default_rng(config.seed)
        self.updates, self.evaluated = 0, 0
        self.shown = self.watch() if config.demonstrations else None
        (folder / "steps").mkdir(parents=True, exist_ok=True)
        record_settings(config, folder)
        if (folder / "resume.safetensors").exists():
            self.load()
        else:
            self.prepare()
        forget_after(self.replay.steps, folder)

    def room_for(self, steps: int) -> TransitionReplay:
        """Return an empty replay of a capacity."""
        return TransitionReplay(steps, *self.sizes, reward_scale=self.config.reward_scale)

    def watch(self) -> TransitionReplay:
        """Have the task demonstrated. Raises `VRLError` for one that nobody demonstrates."""
        from vrl_envs.adroit.demonstrators import demonstrator  # needs the simulator

        teacher = demonstrator(self.environment)
        shown = self.room_for(self.config.demonstrations * longest_episode(self.config.environment))
        for index in range(self.config.demonstrations):
            teacher.begin()
            seed = episode_seed(self.config.seed, index)
            shown.add(self.play(seed, lambda _: teacher.action()))
        return shown

    def prepare(self) -> None:
        """Begin a run that has none to go on with."""
        if self.config.start_from:
            self.start_from(Path(self.config.start_from))
        if self.scale is not None and self.shown is not None:
            for episode in self.shown.episodes:
                self.scale.add(episode.observations)

    def start_from(self, folder: Path) -> None:
        """Take over another run's networks and scale. Raises `VRLError` when it has saved none."""
        tensors = load_file(saved_state(folder))
        self.agent.load_state_dict(part(tensors, "agent."))
        if self.scale is not None:
            self.scale.restore(part(tensors, "scale."))

    @property
    def replay_file(self) -> Path:
        """Where the replay is saved."""
        return self.folder / "replays" / f"{self.config.task}.safetensors"

    def act(self, observation: np.ndarray) -> np.ndarray:
        """Sample the stochastic policy's action for one observation."""
        state = torch.from_numpy(observation)[None]
        if self.scale is not None:
            state = self.scale(state)
        return self.agent.actor.act(state, stochastic=True)[0].numpy()

    def act_uniformly(self, _observation: np.ndarray) -> np.ndarray:
        """Draw an action without looking."""
        return self.rng.uniform(-1, 1, self.sizes[1])

    def play(
        self, seed: int, act: Callable[[np.ndarray], np.ndarray], *, judged: bool = False
    ) -> StateReplay:
        """Play the episode of a seed; `act` answers observations with actions."""
        environment = self.judge if judged else self.environment
        observation, _ = environment.reset(seed=seed)
        observations, actions, rewards, velocities = [observation], [], [], []
        terminated = truncated = False
        while not (terminated or truncated):
            # Halves hold executed actions exactly, so that a shipped replay is no more than them.
            actions.append(act(observation).astype(np.float16).astype(np.float32))
            observation, reward, terminated, truncated, info = environment.step(actions[-1])
            observations.append(observation)
            rewards.append(reward)
            velocities.append(info.get("velocity", (0.0, 0.0)))
        return StateReplay(
            observations=np.stack(observations),
            actions=np.stack(actions),
            rewards=np.array(rewards, np.float32),
            velocities=np.array(velocities, np.float32),
            lengths=np.array([len(actions)], np.int64),
            terminated=np.array([terminated]),
        )

    def collect(self) -> float:
        """Add one episode to the replay and return its return."""
        uniform = self.replay.steps < self.config.random_steps and not self.config.start_from
        seed = episode_seed(self.config.seed, len(self.replay.episodes))
        episode = self.play(seed, self.act_uniformly if uniform else self.act)
        self.replay.add(episode)
        if self.scale is not None:
            self.scale.add(episode.observations)
        return float(episode.rewards.sum(dtype=np.float64))

    def update(self) -> dict[str, float]:
        """Take the updates that the last episode pays for; return the last one's metrics."""
        if self.replay.steps <= self.config.random_steps:
            return {}
        config, metrics = self.config, {}
        for _ in range(round(len(self.replay.episodes[-1].actions) * config.updates_per_step)):
            batch = self.batch()
            if self.symmetry is not None:
                batch = self.symmetry(batch, self.rng)
            if self.scale is not None:
                batch = replace(
                    batch,
                    observation=self.scale(batch.observation),
                    next_observation=self.scale(batch.next_observation),
                )
            metrics = self.agent.update(batch)
            self.updates += 1
        return {name: float(value) for name, value in metrics.items()}

    def batch(self) -> StateBatch:
        """Draw transitions of the agent's own, and as many of those shown to it if any were."""
        size, discount = self.config.batch_size, self.config.agent.discount
        if self.shown is None:
            return self.replay.batch(self.rng, size, discount)
        own = self.replay.batch(self.rng, size - size // 2, discount)
        shown = self.shown.batch(self.rng, size // 2, discount)
        pairs = ((getattr(own, each.name), getattr(shown, each.name)) for each in fields(own))
        return StateBatch(*(torch.cat(pair) for pair in pairs))

    def evaluate(self) -> list[float]:
        """Returns of the stochastic policy on fixed evaluation seeds."""
        return [
            float(self.play(seed, self.act, judged=True).rewards.sum(dtype=np.float64))
            for seed in range(self.config.evaluation_episodes)
        ]

    def save_policy(self) -> None:
        """Write the actor of this step, and again as the newest."""
        actor = self.agent.actor.state_dict()
        if self.scale is not None:
            actor = self.scale.folded(actor)
        actor = without_last_inputs(actor, getattr(self.environment, "shown_beside", 0))
        state = {name: value.contiguous() for name, value in actor.items()}
        path = self.folder / "steps" / f"step_{self.replay.steps:08d}.safetensors"
        save_file(state, path)
        keep_policy(path, self.folder, self.config.task, "expert")

    def save(self) -> None:
        """Write everything that a resumed run needs, each file replacing its last at once."""
        settings = asdict(self.config.environment)
        write_state_replay(self.replay_file, join(self.replay.episodes), settings)
        tensors = {f"agent.{k}": v for k, v in self.agent.state_dict().items()}
        tensors |= optimiser_tensors(self.agent)
        if self.scale is not None:
            tensors |= {f"scale.{k}": v for k, v in self.scale.tensors().items()}
        tensors["torch_rng"] = torch.get_rng_state()
        counts = {
            "updates": self.updates,
            "evaluated": self.evaluated,
            "episodes": len(self.replay.episodes),
            "rng": self.rng.bit_generator.state,
        }
        with replacing(self.folder / "resume.safetensors") as partial:
            note = {"counts": json.dumps(counts)}
            save_file({k: v.contiguous() for k, v in tensors.items()}, partial, metadata=note)

    def load(self) -> None:
        """Continue from the last `save()`."""
        path = self.folder / "resume.safetensors"
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            counts = json.loads(file.metadata()["counts"])
        self.rng.bit_generator.state = counts["rng"]
        self.updates, self.evaluated = counts["updates"], counts["evaluated"]
        self.agent.load_state_dict(part(tensors, "agent."))
        if self.scale is not None:
            self.scale.restore(part(tensors, "scale."))
        replay, _ = read_state_replay(self.replay_file)
        # The replay is written first: a run that was cut off in between has more than it needs.
        for index in range(counts["episodes"]):
            self.replay.add(one_episode(replay, index))
        restore_optimisers(self.agent, tensors)
        torch.set_rng_state(tensors["torch_rng"])

    def run(self) -> Iterator[dict[str, Any]]:
        """Train to the configured number of steps, yielding one record for each episode.

        Asked to stop, it finishes the episode and its updates, saves, and raises
        `KeyboardInterrupt`.
        """
        started = saved = time.monotonic()
        with Interruption() as interruption:
            while self.replay.steps < self.config.steps:
                record = self.train_episode()
                record["seconds"] = round(time.monotonic() - started, 1)
                with (self.folder / "metrics.jsonl").open("a") as log:
                    log.write(json.dumps(record) + "\n")
                if time.monotonic() - saved > SAVE_SECONDS:
                    self.save()
                    saved = time.monotonic()
                yield record
                if interruption.requested:
                    self.save()
                    raise KeyboardInterrupt
        self.save_policy()
        self.save()

    def train_episode(self) -> dict[str, Any]:
        """Play one episode, learn from all so far, and judge the policy when it is time."""
        record: dict[str, Any] = {"return": self.collect()}
        record |= {"steps": self.replay.steps, "updates": self.updates} | self.update()
        if self.replay.steps // self.config.evaluate_every > self.evaluated:
            self.evaluated = self.replay.steps // self.config.evaluate_every
            self.save_policy()
            record["evaluation"] = self.evaluate()
        return record


def symmetry_of(environment: Any) -> HumanoidSymmetry:
    """Return what an environment's transitions may be changed by. Raises `VRLError` for others."""
    if not isinstance(environment, HumanoidLessonsEnvironment):
        raise VRLError(
            "symmetric is for the humanoid's lessons; of no other task a symmetry is known here. "
            "Leave it out."
        )
    return environment.symmetry()


def without_last_inputs(actor: Mapping[str, Tensor], number: int) -> dict[str, Tensor]:
    """Return the weights of an actor that does not take the last inputs, as if they were 0."""
    weight = actor["network.0.weight"]
    return {**actor, "network.0.weight": weight[:, : weight.shape[1] - number]}


def longest_episode(environment: GymMuJoCo | HIV | DClaw | Adroit | HumanoidLessons) -> int:
    """Return after how many steps an episode is cut off at the latest."""
    if isinstance(environment, HIV):
        return environment.days
    return EPISODE_STEPS if isinstance(environment, GymMuJoCo) else environment.horizon


def one_episode(replay: StateReplay, index: int) -> StateReplay:
    """Return one episode of a replay as a replay of its own."""
    rows = replay.rows(index)
    return StateReplay(
        observations=replay.observations[rows.start + index : rows.stop + index + 1],
        actions=replay.actions[rows],
        rewards=replay.rewards[rows],
        velocities=replay.velocities[rows],
        lengths=replay.lengths[index : index + 1],
        terminated=replay.terminated[index : index + 1],
    )


def keep_policy(policy: Path, folder: Path, task: str, quality: str) -> Path:
    """Copy a policy file to where a folder of behaviours has it, and return the place.

    `keep_policy(run / "steps" / "step_00300000.safetensors", run, "hopper", "medium")` makes a
    checkpoint the medium behaviour. Raises `VRLError` when there is no such file.
    """
    if not policy.is_file():
        found = sorted(path.stem for path in policy.parent.glob("step_*.safetensors"))
        steps = ", ".join(str(int(name.removeprefix("step_"))) for name in found)
        raise VRLError(f"There is no policy {policy}. There are those of steps: {steps or 'none'}.")
    target = folder / "policies" / task / f"{quality}.safetensors"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(policy, target)
    return target
