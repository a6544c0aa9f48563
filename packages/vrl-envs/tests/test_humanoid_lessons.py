"""The humanoid's lessons, the scale of observations, and policies of a training as `mixed` data."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tiny_behaviours import SIZES, save_actor
from vrl_core.errors import VRLError
from vrl_core.soft_actor_critic import SoftActorCriticConfig, TanhGaussianActor
from vrl_envs.behaviours.humanoid_lessons import (
    STANDING_HEIGHT,
    HumanoidLessons,
    HumanoidLessonsEnvironment,
)
from vrl_envs.behaviours.observation_scale import ObservationScale
from vrl_envs.behaviours.online import OnlineRun
from vrl_envs.behaviours.policy import BehaviourPolicy, PolicyHistory, write_history
from vrl_envs.behaviours.presets import HUMANOID_STAGES, online_preset
from vrl_envs.behaviours.shipped import available, behaviour_files
from vrl_envs.behaviours.shipping import ship_history
from vrl_envs.behaviours.training import StateTask
from vrl_envs.dmc.config import DMCDataset

STILL = np.zeros(21, np.float32)
LESSONS = online_preset("humanoid_walk", "mixed")
TINY = replace(
    LESSONS,
    environment=HumanoidLessons(horizon=6),
    judged_on=HumanoidLessons(horizon=4, lying_share=1.0, height_reward=0.0),
    steps=24,
    random_steps=6,
    batch_size=4,
    evaluate_every=12,
    evaluation_episodes=1,
    agent=SoftActorCriticConfig(hidden_sizes=(8,), critic_layer_norm=True),
)


def play(environment: HumanoidLessonsEnvironment, seed: int, steps: int = 600):
    observation, _ = environment.reset(seed=seed)
    observations, rewards = [observation], []
    for _ in range(steps):
        observation, reward, terminated, truncated, _ = environment.step(STILL)
        observations.append(observation)
        rewards.append(reward)
        assert not terminated
        if truncated:
            break
    return np.stack(observations), np.array(rewards)


def test_upright_starts_stand_on_the_ground_and_end_soon_after_a_fall():
    environment = HumanoidLessons(lying_share=0.0, patience=10).build()
    environment.reset(seed=0)
    physics = environment.simulated.physics
    assert physics.head_height() > STANDING_HEIGHT
    assert physics.torso_upright() > 0.95
    _, rewards = play(environment, 0)
    assert 10 < len(rewards) < 100  # who does nothing falls within a second or two
    assert physics.head_height() < 0.8


def test_a_lying_start_is_the_tasks_own_and_lasts_until_the_horizon():
    lessons = HumanoidLessons(lying_share=1.0, height_reward=0.0, horizon=20).build()
    observations, rewards = play(lessons, 3)
    task = StateTask("humanoid_walk")
    first = np.random.default_rng(3)  # what Gymnasium seeds an environment's numbers with
    assert np.array_equal(task.reset(int(first.integers(2**31))), observations[0])
    for step, reward in enumerate(rewards):
        observation, wanted = task.step(STILL)
        assert np.array_equal(observation, observations[step + 1])
        assert reward == wanted
    assert len(rewards) == 20


def test_the_height_of_the_head_is_a_share_of_the_reward():
    settings = {"lying_share": 0.0, "pose_noise": 0.0, "horizon": 1}
    _, plain = play(HumanoidLessons(height_reward=0.0, **settings).build(), 0)
    _, shaped = play(HumanoidLessons(height_reward=0.25, **settings).build(), 0)
    # Still standing after one step: the head is at least as high as is asked for, twice.
    assert shaped == pytest.approx(0.75 * plain + 0.25 * 2)


def test_a_hand_keeps_the_torso_upright_as_strongly_as_it_holds():
    heights = {}
    for strength in (0.0, 0.5, 1.0):
        environment = HumanoidLessons(lying_share=0.0, supported=True, patience=500).build()
        environment.reset(seed=0)
        environment.support.hold(strength)
        for _ in range(60):
            observation, *_ = environment.step(STILL)
        assert observation[-1] == np.float32(strength)
        heights[strength] = environment.simulated.physics.head_height()
    assert heights[0.0] < 0.4 < heights[0.5] < heights[1.0]
    # What falls without it stands on its knees, upright, with all of it.
    assert environment.simulated.physics.torso_upright() > 0.9


def test_a_third_of_the_episodes_have_no_hand_and_none_more_than_the_strongest():
    environment = HumanoidLessons(supported=True, most_support=0.4).build()
    strengths = [environment.reset(seed=seed)[0][-1] for seed in range(60)]
    assert 10 < sum(strength == 0 for strength in strengths) < 30
    assert 0.3 < max(strengths) <= 0.4
    judge = HumanoidLessons(supported=True, most_support=0.0, lying_share=1.0, height_reward=0.0)
    plain = HumanoidLessons(lying_share=1.0, height_reward=0.0)
    held, free = judge.build(), plain.build()
    assert np.array_equal(held.reset(seed=5)[0][:-1], free.reset(seed=5)[0])
    for _ in range(10):
        one, other = held.step(STILL), free.step(STILL)
        assert np.array_equal(one[0][:-1], other[0])
        assert one[1] == other[1]


def test_upright_starts_look_anywhere_when_asked():
    environment = HumanoidLessons(lying_share=0.0, any_heading=True).build()
    headings = []
    for seed in range(8):
        environment.reset(seed=seed)
        w, x, y, z = environment.simulated.physics.data.qpos[3:7]
        assert (x, y) == (0, 0)
        assert environment.simulated.physics.torso_upright() > 0.95
        headings.append(2 * np.arctan2(z, w))
    assert np.std(headings) > 0.5


def test_who_lies_has_only_so_long_to_get_up():
    environment = HumanoidLessons(lying_share=1.0, lying_patience=30).build()
    _, rewards = play(environment, 3)
    assert len(rewards) == 30


def test_starts_depend_on_the_seed_alone():
    lessons = HumanoidLessons(lying_share=0.5)
    one, other = lessons.build(), lessons.build()
    other.reset(seed=9)
    kinds = set()
    for seed in range(8):
        assert np.array_equal(one.reset(seed=seed)[0], other.reset(seed=seed)[0])
        kinds.add(one.upright)
    assert kinds == {True, False}


def test_settings_of_which_no_lesson_comes_are_refused():
    for wrong in ({"horizon": 0}, {"lying_share": -0.1}, {"patience": 0}):
        with pytest.raises(VRLError, match=next(iter(wrong))):
            HumanoidLessons(**wrong)


def test_the_scale_is_the_mean_and_deviation_of_all_rows():
    rows = np.random.default_rng(0).normal(3.0, [[0.001, 1.0, 50.0]], (40, 3)).astype(np.float32)
    scale = ObservationScale(3)
    assert torch.equal(scale(torch.ones(3)), torch.ones(3))  # nothing seen: as they are
    for some in (rows[:7], rows[7:8], rows[8:]):
        scale.add(some)
    found = scale(torch.from_numpy(rows)).numpy()
    wanted = (rows - rows.mean(0)) / np.maximum(rows.std(0), 0.01)
    np.testing.assert_allclose(found, wanted, atol=1e-3)
    again = ObservationScale(3)
    again.restore(scale.tensors())
    assert torch.equal(again(torch.ones(3)), scale(torch.ones(3)))


def test_a_folded_policy_acts_as_the_scaled_one():
    actor, scale = TanhGaussianActor(3, 2, (8,)), ObservationScale(3)
    rows = np.random.default_rng(0).normal(2.0, [[0.1, 1.0, 9.0]], (20, 3)).astype(np.float32)
    scale.add(rows)
    folded = TanhGaussianActor(3, 2, (8,))
    folded.load_state_dict(scale.folded(actor.state_dict()))
    state = torch.from_numpy(rows)
    for found, wanted in zip(
        folded.distribution(state), actor.distribution(scale(state)), strict=True
    ):
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


HELD = replace(
    TINY,
    environment=replace(TINY.environment, supported=True, any_heading=True),
    judged_on=replace(TINY.judged_on, supported=True, most_support=0.0),
    symmetric=True,
)


@pytest.mark.parametrize("config", [TINY, HELD], ids=["plain", "held"])
def test_lessons_resume_as_if_never_stopped_and_are_judged_on_the_task(tmp_path, config):
    whole = OnlineRun(config, tmp_path / "whole")
    records = list(whole.run())
    list(OnlineRun(replace(config, steps=12), tmp_path / "stopped").run())
    torch.manual_seed(456)
    resumed = OnlineRun(config, tmp_path / "stopped")
    list(resumed.run())
    for (name, wanted), found in zip(
        whole.agent.state_dict().items(), resumed.agent.state_dict().values(), strict=True
    ):
        assert torch.equal(wanted, found), name
    ones = torch.ones(whole.replay.observations.shape[1])
    assert torch.equal(whole.scale(ones), resumed.scale(ones))
    judged = [each["evaluation"] for each in records if "evaluation" in each]
    assert judged
    assert all(0 <= value <= 8 for (value,) in judged)  # 4 steps of at most 2


def test_another_training_goes_on_from_its_networks_and_scale(tmp_path):
    first = OnlineRun(TINY, tmp_path / "mixed")
    list(first.run())
    config = replace(TINY, start_from=str(tmp_path / "mixed"), seed=1)
    second = OnlineRun(config, tmp_path / "expert")
    state = torch.ones(1, 67)
    assert torch.equal(first.scale(state), second.scale(state))
    assert torch.equal(
        first.agent.actor.distribution(state)[0], second.agent.actor.distribution(state)[0]
    )
    with pytest.raises(VRLError, match=r"has no resume\.safetensors"):
        OnlineRun(replace(config, start_from=str(tmp_path)), tmp_path / "none")


def test_a_history_is_a_trainings_policies_in_order(tmp_path):
    paths = [tmp_path / f"step_{n}.safetensors" for n in range(3)]
    for seed, path in enumerate(paths):
        save_actor(path, *SIZES["walker_walk"], seed)
    history = write_history(tmp_path / "mixed.safetensors", paths)
    assert (history.observation_size, history.action_size) == SIZES["walker_walk"]
    state = np.linspace(-1, 1, 24)
    for number, path in enumerate(paths):
        wanted = BehaviourPolicy.read(path).distribution(state)[0]
        acting = history.acting(9, 3 * number + 1)
        np.testing.assert_allclose(acting.distribution(state)[0], wanted, atol=2e-3)
    with pytest.raises(VRLError, match="holds 3 policies"):
        BehaviourPolicy.read(tmp_path / "mixed.safetensors")
    with pytest.raises(VRLError, match="holds a single policy"):
        PolicyHistory.read(paths[0])
    save_actor(paths[0], 5, 2)
    with pytest.raises(VRLError, match="2 sizes"):
        write_history(tmp_path / "mixed.safetensors", paths)
    with pytest.raises(VRLError, match="0 sizes"):
        write_history(tmp_path / "mixed.safetensors", [])


def test_a_shipped_history_is_collected_as_mixed(tmp_path):
    run = OnlineRun(TINY, tmp_path / "run")
    list(run.run())
    card = ship_history(
        tmp_path / "run", [12, 24], "humanoid_walk", 2, destination=tmp_path / "shipped"
    )
    assert card.extra == {"steps": [12, 24]}
    assert available(tmp_path / "shipped") == {"humanoid_walk": ("mixed",)}
    settings = {
        "task": "humanoid_walk",
        "quality": "mixed",
        "observation": "state",
        "behaviours": str(tmp_path / "shipped"),
    }
    dataset = DMCDataset(**settings, episodes=2).build()
    names = [path.name for path in behaviour_files("humanoid_walk", "mixed", tmp_path / "shipped")]
    assert names == ["mixed.safetensors"]
    assert len(DMCDataset(**settings).build()) == 200
    first, second = dataset[0], dataset[1]
    assert first.info["behaviour"] == "mixed"
    policies = PolicyHistory.read(tmp_path / "shipped/policies/humanoid_walk/mixed.safetensors")
    for episode, policy in zip((first, second), policies.policies, strict=True):
        states, actions = episode.observations["state"][:-1], episode.actions
        raw = np.arctanh(np.clip(actions, -1 + 1e-6, 1 - 1e-6))
        means, deviations = zip(*(policy.distribution(state) for state in states), strict=True)
        noise = (raw - np.stack(means)) / np.stack(deviations)
        assert abs(noise.mean()) < 0.1
        assert noise.std() == pytest.approx(1.0, abs=0.1)
    with pytest.raises(VRLError, match="no policy of step 13; the nearest is 12"):
        ship_history(tmp_path / "run", [13], "humanoid_walk", destination=tmp_path)


def test_policies_are_saved_for_observations_as_they_are(tmp_path):
    run = OnlineRun(TINY, tmp_path)
    list(run.run())
    saved = TanhGaussianActor(67, 21, (8,))
    saved.load_state_dict(load_file(tmp_path / "policies/humanoid_walk/expert.safetensors"))
    state = torch.from_numpy(run.replay.observations[:1])
    torch.testing.assert_close(
        saved.distribution(state)[0],
        run.agent.actor.distribution(run.scale(state))[0],
        atol=1e-4,
        rtol=1e-4,
    )


def test_the_policy_of_a_held_training_is_the_one_without_a_hand(tmp_path):
    run = OnlineRun(HELD, tmp_path)
    list(run.run())
    saved = TanhGaussianActor(67, 21, (8,))
    saved.load_state_dict(load_file(tmp_path / "policies/humanoid_walk/expert.safetensors"))
    state = torch.from_numpy(run.replay.observations[:1]).clone()
    state[:, -1] = 0
    torch.testing.assert_close(
        saved.distribution(state[:, :67])[0],
        run.agent.actor.distribution(run.scale(state))[0],
        atol=1e-4,
        rtol=1e-4,
    )


def test_other_tasks_have_no_symmetry(tmp_path):
    with pytest.raises(VRLError, match="symmetric is for the humanoid's lessons"):
        OnlineRun(replace(online_preset("hopper", "mixed"), symmetric=True), tmp_path)


def test_the_stages_of_the_humanoid_follow_each_other():
    after = {name: stage.after for name, stage in HUMANOID_STAGES.items()}
    assert after == {
        "held": "",
        "eased": "held",
        "light": "eased",
        "faint": "light",
        "expert": "faint",
    }
    for name in after:
        config = online_preset("humanoid_walk", name)
        assert config.environment.supported
        assert config.judged_on.most_support == 0
        assert config.judged_on.height_reward == 0
    supports = [stage.most_support for stage in HUMANOID_STAGES.values()]
    assert supports == sorted(supports, reverse=True)
