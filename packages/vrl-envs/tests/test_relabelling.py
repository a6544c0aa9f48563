"""MOPO's rewards by hand, and relabelled data against data of the task itself."""

import numpy as np
import pytest

from vrl_core.errors import VRLError
from vrl_core.ingest import write_store
from vrl_core.testing import check_dataset
from vrl_envs.gym_mujoco.config import GymMuJoCo, GymMuJoCoDataset
from vrl_envs.gym_mujoco.relabelling import angle_rewards, jump_rewards, relabel
from vrl_envs.gym_mujoco.relabelling_config import Relabelled


def test_jump_rewards_by_hand():
    velocity, height = np.array([1.0, 5.0]), np.array([0.2, -0.1])
    actions = np.array([[1.0, 2.0], [0.0, 1.0]])
    capped = jump_rewards(velocity, actions, height)
    np.testing.assert_allclose(capped, [1 - 0.5 + 3, 3 - 0.1 - 1.5])
    printed = jump_rewards(velocity, actions, height, velocity_form="printed")
    np.testing.assert_allclose(printed, [3 - 0.5 + 3, 5 - 0.1 - 1.5])


def test_angle_rewards_by_hand():
    velocities, actions = np.array([[2.0, 1.0]]), np.array([[1.0, 1.0]])
    for degrees, along in ((0, 2), (30, np.sqrt(3) + 0.5), (90, 1)):
        assert angle_rewards(velocities, actions, degrees=degrees) == pytest.approx([along - 1])


def collected(task, folder, episodes=1):
    """A store of random actions; the same seeds give every task of a body the same episodes."""
    return write_store(GymMuJoCoDataset(task=task, episodes=episodes), folder, workers=1)


def test_relabelled_running_is_what_jumping_earns(tmp_path):
    collected("halfcheetah", tmp_path / "running")
    jumping = GymMuJoCoDataset(task="halfcheetah_jump", episodes=1).build()[0]
    config = Relabelled(path=str(tmp_path / "running"), task="halfcheetah_jump")
    relabelled = config.build()
    np.testing.assert_array_equal(
        relabelled[0].observations["state"], jumping.observations["state"]
    )
    np.testing.assert_allclose(relabelled[0].rewards, jumping.rewards, atol=1e-5)
    assert relabelled.spec.task == "halfcheetah_jump"
    assert relabelled.spec.environment["task"] == "halfcheetah_jump"
    assert "relabelled" in relabelled.spec.source
    check_dataset(config, episodes=1, spawn=False)


def test_relabelled_running_of_the_ant_is_near_what_the_angle_earns():
    source = GymMuJoCoDataset(task="ant_forward", episodes=1).build()
    angled = GymMuJoCoDataset(task="ant_angle_90", episodes=1).build()[0]
    relabelled = relabel(source, GymMuJoCo(task="ant_angle_90"))[0]
    # The logged rewards tell no sideways velocity; the state's, at the end of a step, is near it.
    difference = np.abs(relabelled.rewards - angled.rewards)
    assert np.median(difference) < 0.25 * np.median(np.abs(angled.rewards))
    forward = relabel(source, GymMuJoCo(task="ant_forward"))[0]
    np.testing.assert_allclose(forward.rewards, source[0].rewards, atol=1e-5)


def test_what_cannot_be_relabelled_is_explained(tmp_path):
    source = GymMuJoCoDataset(task="hopper", episodes=1).build()
    with pytest.raises(VRLError, match="takes data of halfcheetah or halfcheetah_capped"):
        relabel(source, GymMuJoCo(task="halfcheetah_jump"))
    with pytest.raises(VRLError, match="task with a reward of its own"):
        relabel(source, GymMuJoCo(task="hopper"))
    newer = GymMuJoCoDataset(task="ant", version="v5", episodes=1).build()
    with pytest.raises(VRLError, match="only v4 without contact forces"):
        relabel(newer, GymMuJoCo(task="ant_angle"))


@pytest.mark.parametrize(("logged", "wanted"), [("capped", "printed"), ("printed", "capped")])
def test_speeds_are_relabelled_only_where_the_rewards_still_have_them(logged, wanted):
    def jump(jump_velocity):
        return GymMuJoCo(task="halfcheetah_jump", jump_velocity=jump_velocity)

    settings = {"episodes": 1, "jump_velocity": logged}
    source = GymMuJoCoDataset(task="halfcheetah_capped", **settings).build()
    jumping = GymMuJoCoDataset(task="halfcheetah_jump", **settings).build()[0]
    np.testing.assert_allclose(relabel(source, jump(logged))[0].rewards, jumping.rewards, atol=1e-5)
    with pytest.raises(VRLError, match=f"rewarded as '{logged}' .* Ask for jump_velocity"):
        relabel(source, jump(wanted))
