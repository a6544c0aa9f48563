"""DAPG's policies: their mathematics by hand, and files that are none."""

import numpy as np
import pytest

from tiny_dapg import write_policy
from vrl_core.errors import VRLError
from vrl_envs.dapg_policy import DAPGPolicy


def test_actions_are_those_worked_out_by_hand(tmp_path):
    path = write_policy(
        tmp_path / "policy.npz",
        observation=2,
        action=1,
        weight_0=np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]),
        weight_1=np.eye(3),
        weight_2=np.array([[1.0, -1.0, 5.0]]),
        bias_0=np.array([0.0, 0.5, 0.0]),
        in_shift=np.array([1.0, 0.0]),
        in_scale=np.array([2.0, 1.0]),
        out_shift=np.array([0.25]),
        out_scale=np.array([4.0]),
    )
    policy = DAPGPolicy.read(path)
    assert (policy.observation_size, policy.action_size) == (2, 1)
    hidden = np.tanh(np.tanh([(3 - 1) / 2, 2 * 0.25 + 0.5]))  # the third unit sees nothing
    expected = 0.25 + 4 * (0.2 + hidden[0] - hidden[1])
    np.testing.assert_allclose(policy.action(np.array([3.0, 0.25])), [expected], rtol=1e-7)


def test_without_scales_nothing_is_scaled(tmp_path):
    weights = {"weight_0": np.eye(3), "weight_1": np.eye(3), "weight_2": np.ones((1, 3))}
    policy = DAPGPolicy.read(write_policy(tmp_path / "policy.npz", 3, 1, **weights))
    expected = 0.2 + np.tanh(np.tanh([0.5, -1.0, 2.0])).sum()
    np.testing.assert_array_equal(policy.action(np.array([0.5, -1.0, 2.0])), [expected])


def test_files_that_are_no_policy_are_explained(tmp_path):
    (tmp_path / "text.npz").write_text("no")
    with pytest.raises(VRLError, match="cannot be read"):
        DAPGPolicy.read(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", weight_0=np.zeros((2, 2)))
    with pytest.raises(VRLError, match="no expert policy: it holds weight_0"):
        DAPGPolicy.read(tmp_path / "other.npz")
