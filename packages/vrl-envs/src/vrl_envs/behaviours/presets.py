"""The settings that the shipped behaviours were trained with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from vrl_core.errors import unknown_name
from vrl_core.soft_actor_critic import SoftActorCriticConfig
from vrl_envs.adroit.config import Adroit
from vrl_envs.adroit.tasks import ADROIT_TASKS, DEMONSTRATED, HAMMER, PEN, find_task
from vrl_envs.behaviours.humanoid_lessons import HumanoidLessons
from vrl_envs.behaviours.online import OnlineTraining
from vrl_envs.behaviours.shipped import LESSON_TASKS
from vrl_envs.behaviours.training import BehaviourTraining
from vrl_envs.dclaw.config import TASKS as DCLAW_TASKS
from vrl_envs.dclaw.config import DClaw, Direction
from vrl_envs.gym_mujoco.config import STANDARD_TASKS, GymMuJoCo
from vrl_envs.gym_mujoco.config import TASKS as GYM_TASKS
from vrl_envs.hiv.config import HIV, HIV_TASK

_PAPER_PACE = SoftActorCriticConfig(hidden_sizes=(256, 256), learning_rate=1e-4)

PRESETS: Mapping[tuple[str, str], BehaviourTraining] = {
    ("walker_walk", "mixed"): BehaviourTraining(
        task="walker_walk", steps=160_000, seed=0, agent=_PAPER_PACE
    ),
    ("walker_walk", "expert"): BehaviourTraining(
        task="walker_walk",
        steps=150_000,
        seed=1,
        evaluate_every=10_000,
        agent=SoftActorCriticConfig(learning_rate=1e-3, critic_layer_norm=True),
    ),
    ("cartpole_swingup", "mixed"): BehaviourTraining(
        task="cartpole_swingup",
        steps=60_000,
        seed=0,
        batch_size=128,
        evaluate_every=2_500,
        agent=SoftActorCriticConfig(hidden_sizes=(256, 256)),
    ),
    ("cheetah_run", "mixed"): BehaviourTraining(
        task="cheetah_run",
        steps=600_000,
        seed=0,
        batch_size=128,
        updates_per_step=0.25,
        evaluate_every=10_000,
        evaluation_episodes=5,
        agent=SoftActorCriticConfig(critic_layer_norm=True),
    ),
    ("cheetah_run", "gait"): BehaviourTraining(
        task="cheetah_run",
        action_repeat=4,
        steps=600_000,
        seed=5,
        random_steps=2_500,
        batch_size=128,
        evaluate_every=10_000,
        evaluation_episodes=5,
        agent=SoftActorCriticConfig(
            learning_rate=1e-3, target_entropy=-3.0, critic_layer_norm=True
        ),
    ),
    ("cheetah_run", "stride"): BehaviourTraining(
        task="cheetah_run",
        steps=140_000,
        seed=6,
        evaluate_every=10_000,
        evaluation_episodes=5,
        start_from="behaviours/cheetah_run/gait",
        agent=SoftActorCriticConfig(
            learning_rate=5e-4, critic_layer_norm=True, initial_temperature=0.05
        ),
    ),
    ("cheetah_run", "sprint"): BehaviourTraining(
        task="cheetah_run",
        steps=50_000,
        seed=8,
        evaluate_every=10_000,
        evaluation_episodes=5,
        start_from="behaviours/cheetah_run/stride",
        agent=SoftActorCriticConfig(
            learning_rate=3e-4,
            target_entropy=-10.0,
            critic_layer_norm=True,
            initial_temperature=0.02,
        ),
    ),
    ("cheetah_run", "expert"): BehaviourTraining(
        task="cheetah_run",
        steps=80_000,
        seed=9,
        evaluate_every=10_000,
        evaluation_episodes=5,
        start_from="behaviours/cheetah_run/sprint",
        agent=SoftActorCriticConfig(
            learning_rate=2e-4,
            target_entropy=-16.0,
            critic_layer_norm=True,
            initial_temperature=0.007,
        ),
    ),
}
"""Training settings by task and preset: `mixed` learns slowly, as the paper's medium agent does,
and gives the medium policy and the replay; `expert` runs until it has converged. The cheetah's
expert starts from `gait`, 80,000 steps at twice the action repeat; see `docs/decisions.md`."""


def preset(task: str, name: str) -> BehaviourTraining:
    """Return a preset's settings; for other tasks, walker-walk's with the task replaced.

    Raises `VRLError` for a preset that the task does not have.
    """
    names = {known for owner, known in PRESETS if owner in (task, "walker_walk")}
    if name not in names:
        raise unknown_name(f"training preset of {task}", name, names)
    return PRESETS.get((task, name)) or replace(PRESETS["walker_walk", name], task=task)


HIV_REWARD_SCALE = 1e-4
"""Makes a day's reward 2 (no drugs) to 5 (both in full), where published it is 2e4 to 5e4; it grows
with what the agent learns. Whether MOPO's Table 5 is on this scale cannot be told
(`docs/tasks/hiv.md`)."""


def online_preset(task: str, name: str) -> OnlineTraining:
    """Return the settings of a state task's training: soft actor-critic's published ones.

    `mixed` is MOPO's buffer: the first 200,000 steps on HIV (Appendix F), a million for its two
    tasks of other rewards (Section 5.2), and 200,000 elsewhere, as D4RL's largest; `expert`
    goes on to a million everywhere. Raises `VRLError` for another preset or task.
    """
    special = {
        **dict.fromkeys(DCLAW_TASKS[1:], DIRECTIONS),
        **dict.fromkeys(LESSON_TASKS, tuple(HUMANOID_STAGES)),
    }
    names = dict.fromkeys(("mixed", "expert", *special.get(task, ())))
    if name not in names:
        raise unknown_name(f"training preset of {task}", name, names)
    if task in LESSON_TASKS:
        return humanoid_lessons(task, name)
    if task in DCLAW_TASKS:
        return dclaw_preset(task, name)
    if task in ADROIT_TASKS:
        return adroit_preset(task)
    if task == HIV_TASK:
        environment: GymMuJoCo | HIV = HIV(reward_scale=HIV_REWARD_SCALE)
    elif task in GYM_TASKS:
        environment = GymMuJoCo(task=task)
    else:
        raise unknown_name("state task", task, (*GYM_TASKS, HIV_TASK, *DCLAW_TASKS, *ADROIT_TASKS))
    short = name == "mixed" and (task in STANDARD_TASKS or task == HIV_TASK)
    return OnlineTraining(task=task, environment=environment, steps=200_000 if short else 1_000_000)


DIRECTIONS: tuple[Direction, Direction] = ("forward", "backward")
"""Presets of the random screws whose agent only ever turns the valve one way."""


def dclaw_preset(task: str, name: str = "mixed") -> OnlineTraining:
    """Return the settings that D'Claw's behaviours are trained with, medium and expert alike.

    `forward` and `backward` train the teachers of a random screw's expert (`imitation`).
    """
    direction: Direction = next((each for each in DIRECTIONS if each == name), "either")
    return OnlineTraining(
        task=task,
        environment=DClaw(task=task, observation="state", direction=direction),
        steps=40_000 if task == "screw_fixed" else 150_000,
        random_steps=2_000,
        batch_size=128,
        evaluate_every=5_000,
        evaluation_episodes=10,
        reward_scale=0.1,
        agent=SoftActorCriticConfig(
            learning_rate=5e-4, target_entropy=-12.0, critic_layer_norm=True
        ),
    )


def adroit_preset(task: str) -> OnlineTraining:
    """Return the settings that Adroit's behaviours are trained with, medium and expert alike.

    The pen's episodes end when it is dropped: a learner's first ones would else be nine tenths a
    pen lying on the table. A step of the hand costs a fortieth of an update, so that there are
    four for each. Hammer and ball are shown to the agent first: alone it had learnt nothing of
    either after 160,000 steps. So shown, the hammer is learnt within 160,000 and the ball not in
    312,000.
    """
    pen, hammer = task == PEN, task == HAMMER
    environment = Adroit(
        task=task,
        observation="state",
        # The library pays for the palm's distance to handle, hammer and ball.
        reward="dense" if pen else "d4rl",
        terminate_when_dropped=pen,
    )
    return OnlineTraining(
        task=task,
        environment=environment,
        steps=400_000 if hammer else 1_200_000,
        random_steps=5_000,
        updates_per_step=0.25,
        batch_size=256,
        evaluate_every=10_000 if hammer else 40_000,
        evaluation_episodes=10,
        # Rewards of about 1 a step at the goal, which pays 102 with the hammer.
        reward_scale=0.01 if hammer else 0.05,
        normalise=True,
        demonstrations=100 if task in DEMONSTRATED else 0,
        agent=SoftActorCriticConfig(
            discount=0.98,
            initial_temperature=0.02,
            target_entropy=-1.5 * find_task(task).action_size,
            critic_layer_norm=True,
        ),
    )


def humanoid_lessons(task: str, name: str = "mixed") -> OnlineTraining:
    """Return the settings of the humanoid's lessons.

    `mixed` learns to get up and to walk, and falls every few seconds: getting up is so fast that a
    fall costs little. Where a fall is the end an agent learns to stand still. `held` begins anew
    with a hand that holds the torso, in each episode as strongly as drawn, and walks; the stages
    after it go on with ever weaker ones (`HUMANOID_STAGES`).
    """
    judged_on = HumanoidLessons(task=task, lying_share=1.0, height_reward=0.0)
    lessons = OnlineTraining(
        task=task,
        environment=HumanoidLessons(task=task),
        judged_on=judged_on,
        steps=380_000,
        batch_size=128,
        evaluate_every=20_000,
        normalise=True,
        agent=SoftActorCriticConfig(
            learning_rate=5e-4,
            discount=0.98,
            initial_temperature=0.05,
            critic_layer_norm=True,
        ),
    )
    if name == "mixed":
        return lessons
    stage = HUMANOID_STAGES[name]
    environment = HumanoidLessons(
        task=task,
        height_reward=0.2,
        falls_end=True,
        lying_share=stage.lying_share,
        lying_patience=100,
        any_heading=True,
        supported=True,
        most_support=stage.most_support,
    )
    return replace(
        lessons,
        environment=environment,
        judged_on=replace(judged_on, supported=True, most_support=0.0),
        steps=stage.steps,
        seed=stage.seed,
        updates_per_step=0.5,
        symmetric=True,
        start_from=f"behaviours/{task}/{stage.after}" if stage.after else "",
    )


@dataclass(frozen=True, kw_only=True)
class HumanoidStage:
    """What differs between the stages of the humanoid's lessons with a hand."""

    after: str
    """The stage whose networks it goes on with, if any."""
    most_support: float
    """The strongest hand."""
    lying_share: float
    """Share of the episodes that begin lying."""
    steps: int
    """Agent steps."""
    seed: int
    """Seed of the training."""


HUMANOID_STAGES: Mapping[str, HumanoidStage] = {
    "held": HumanoidStage(after="", most_support=1.0, lying_share=0.25, steps=1_000_000, seed=3),
    "eased": HumanoidStage(
        after="held", most_support=0.35, lying_share=0.25, steps=170_000, seed=4
    ),
    "light": HumanoidStage(after="eased", most_support=0.2, lying_share=0.15, steps=90_000, seed=5),
    "faint": HumanoidStage(after="light", most_support=0.1, lying_share=0.2, steps=170_000, seed=6),
    "expert": HumanoidStage(
        after="faint", most_support=0.05, lying_share=0.2, steps=490_000, seed=7
    ),
}
"""A stage ends where most episodes with its stronger hands last to their horizon. An agent that
kept the first stage's hands learnt hardly anything of the weakest in 900,000 steps."""
