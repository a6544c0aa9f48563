"""The policy: its memory of frames, its bounds, and its refusals."""

import numpy as np
import pytest
import torch

from vrl_core.errors import VRLError
from vrl_core.observations import images_alone
from vrl_modelfree.config import BCConfig
from vrl_modelfree.policy import StackedFramesPolicy

CPU = torch.device("cpu")


IMAGES = images_alone((4, 4, 3))


def newest_and_oldest(observation: dict[str, torch.Tensor]) -> torch.Tensor:
    """An "action" that reads one pixel of the oldest and of the newest frame."""
    images = observation["image"]
    return torch.stack((images[:, 0, 0, 0, 0], images[:, -1, 0, 0, 0]), 1) / 255


def frame(*values: int) -> dict[str, np.ndarray]:
    images = np.zeros((len(values), 4, 4, 3), np.uint8)
    images[:] = np.array(values, np.uint8)[:, None, None, None]
    return {"image": images}


def test_first_frame_fills_the_stack_and_later_ones_push_it_out() -> None:
    policy = StackedFramesPolicy(newest_and_oldest, IMAGES, 3, CPU)
    state = policy.start(2)
    seen = []
    for values in ((51, 102), (255, 0), (0, 255), (0, 51)):
        action, state = policy.act(frame(*values), state)
        seen.append(np.round(action * 5).astype(int).tolist())
    assert seen == [
        [[1, 1], [2, 2]],
        [[1, 5], [2, 0]],
        [[1, 0], [2, 5]],
        [[5, 0], [0, 1]],
    ]


def test_a_state_can_be_used_again() -> None:
    policy = StackedFramesPolicy(newest_and_oldest, IMAGES, 2, CPU)
    _, state = policy.act(frame(51), policy.start(1))
    first, _ = policy.act(frame(102), state)
    second, _ = policy.act(frame(102), state)
    assert np.array_equal(first, second)


def test_actions_are_the_means_and_see_later_updates(small, spec, make_batch) -> None:
    learner = BCConfig(**small).build(spec, CPU)
    policy = learner.policy()
    images = make_batch().observation["image"][:, -1].numpy()
    before, _ = policy.act({"image": images}, policy.start(len(images)))
    again, _ = policy.act({"image": images}, policy.start(len(images)))
    assert before.dtype == np.float32
    assert before.shape == (6, 2)
    assert np.abs(before).max() <= 1
    assert np.array_equal(before, again)
    learner.update(make_batch())
    after, _ = policy.act({"image": images}, policy.start(len(images)))
    assert not np.array_equal(before, after)


@pytest.mark.parametrize(
    "observations",
    [{}, {"state": np.zeros((1, 3), np.float32)}, {"image": np.zeros((1, 8, 8, 3), np.uint8)}],
)
def test_other_observations_are_refused(observations: dict[str, np.ndarray]) -> None:
    policy = StackedFramesPolicy(newest_and_oldest, IMAGES, 3, CPU)
    with pytest.raises(VRLError, match="trained on image and expects a field 'image'"):
        policy.act(observations, policy.start(1))
