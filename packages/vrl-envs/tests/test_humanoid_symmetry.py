"""The mirror and the turns of the humanoid's transitions, against the simulator."""

import numpy as np
import pytest
import torch

from vrl_core.soft_actor_critic import StateBatch
from vrl_envs.behaviours.humanoid_lessons import HumanoidLessons
from vrl_envs.behaviours.humanoid_symmetry import JOINTS, HumanoidSymmetry, swap_sides
from vrl_envs.behaviours.training import StateTask


@pytest.fixture(scope="module")
def task() -> StateTask:
    return StateTask("humanoid_walk")


def random_state(task: StateTask, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A pose in the air, so that no contact's order breaks the mirror's exactness."""
    rng = np.random.default_rng(seed)
    model = task.physics.model
    low, high = 0.4 * model.jnt_range[1:].T
    turn = rng.standard_normal(4)
    pose = np.concatenate(((0, 0, 3.0), turn / np.linalg.norm(turn), rng.uniform(low, high)))
    return pose, rng.standard_normal(model.nv)


def observe(task: StateTask, pose: np.ndarray, speed: np.ndarray) -> np.ndarray:
    with task.physics.reset_context():
        task.physics.data.qpos[:] = pose
        task.physics.data.qvel[:] = speed
    return task.observation()


def mirror_state(
    task: StateTask, pose: np.ndarray, speed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The reflection at the plane of x and z, joint by joint from the model's own axes."""
    model = task.physics.model
    pose, speed = pose.copy(), speed.copy()
    old_pose, old_speed = pose.copy(), speed.copy()
    pose[1] *= -1
    pose[[4, 6]] *= -1  # the quaternion (w, x, y, z): turns about x and z go the other way
    speed[1] *= -1
    speed[[3, 5]] *= -1
    for number in range(1, JOINTS + 1):
        name = model.id2name(number, "joint")
        other = model.name2id(swap_sides(name), "joint")
        reflected = np.array((-1, 1, -1)) * model.jnt_axis[other]
        sign = round(float(reflected @ model.jnt_axis[number]))
        pose[6 + number] = sign * old_pose[6 + other]
        speed[5 + number] = sign * old_speed[5 + other]
    return pose, speed


@pytest.mark.parametrize("seed", range(3))
def test_a_mirrored_observation_is_that_of_the_mirrored_state(task, seed):
    pose, speed = random_state(task, seed)
    here = observe(task, pose, speed)
    there = observe(task, *mirror_state(task, pose, speed))
    symmetry = HumanoidSymmetry(task.physics)
    image = symmetry.mirrored(torch.from_numpy(here))
    np.testing.assert_allclose(image.numpy(), there, atol=1e-5)
    assert not np.allclose(here, there, atol=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_a_mirrored_action_leads_to_the_mirrored_state(task, seed):
    pose, speed = random_state(task, seed)
    action = np.random.default_rng(seed + 9).uniform(-1, 1, 21).astype(np.float32)
    symmetry = HumanoidSymmetry(task.physics)
    observe(task, pose, speed)
    after, reward = task.step(action)
    observe(task, *mirror_state(task, pose, speed))
    mirrored = symmetry.mirrored_action(torch.from_numpy(action)).numpy()
    mirror_after, mirror_reward = task.step(mirrored)
    wanted = symmetry.mirrored(torch.from_numpy(after)).numpy()
    np.testing.assert_allclose(mirror_after, wanted, atol=2e-3)
    assert mirror_reward == pytest.approx(reward, abs=1e-4)


def test_a_turned_observation_is_that_of_the_turned_body(task):
    pose, speed = random_state(task, 4)
    here = torch.from_numpy(observe(task, pose, speed))[None]
    angle = 0.7
    turn = np.array((np.cos(angle / 2), 0, 0, np.sin(angle / 2)))
    w, x, y, z = pose[3:7]
    pose[3:7] = (
        turn[0] * w - turn[3] * z,
        turn[0] * x - turn[3] * y,
        turn[0] * y + turn[3] * x,
        turn[0] * z + turn[3] * w,
    )
    cosine, sine = np.cos(angle), np.sin(angle)
    speed[:2] = (cosine * speed[0] - sine * speed[1], sine * speed[0] + cosine * speed[1])
    there = observe(task, pose, speed)
    found = HumanoidSymmetry(task.physics).turned(here, torch.tensor([angle]))
    np.testing.assert_allclose(found[0].numpy(), there, atol=1e-5)


def test_a_batch_keeps_rewards_discounts_and_what_the_lessons_add(task):
    environment = HumanoidLessons(supported=True).build()
    rng = np.random.default_rng(0)
    rows = [torch.from_numpy(rng.standard_normal((64, 68)).astype(np.float32)) for _ in range(2)]
    action = torch.from_numpy(rng.standard_normal((64, 21)).astype(np.float32))
    batch = StateBatch(rows[0], action, rows[0][:, 0], rows[1][:, 0], rows[1])
    found = environment.symmetry()(batch, rng)
    assert torch.equal(found.reward, batch.reward)
    assert torch.equal(found.discount, batch.discount)
    assert torch.equal(found.observation[:, 67], rows[0][:, 67])
    kept = (found.action == action).all(1)
    assert 16 < kept.sum() < 48  # half are mirrored
    assert torch.equal(found.observation[kept, :21], rows[0][kept, :21])

    # Both ends of a transition are turned alike: the angle between their speeds is as it was.
    def between(first, second):
        return (first[:, 37:39] * second[:, 37:39]).sum(1)

    torch.testing.assert_close(
        between(found.observation, found.next_observation), between(*rows), atol=1e-4, rtol=1e-4
    )
