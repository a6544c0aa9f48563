"""Actions that are none: of another size, or with numbers that are not finite."""

import numpy as np
import pytest

from vrl_core.errors import VRLError
from vrl_envs.control import checked_action
from vrl_envs.desk.config import Desk


@pytest.mark.parametrize("wrong", [[0.0, np.nan], [np.inf, 0.0], [0.0], [[0.0, 0.0]]])
def test_other_actions_are_refused(wrong):
    with pytest.raises(VRLError, match="none of the claw's, which are 2 finite numbers"):
        checked_action(np.array(wrong), 2, "the claw")


def test_an_action_is_left_as_it_is():
    checked = checked_action(np.array([0.5, -3.0], np.float32), 2, "the claw")
    assert checked.dtype == np.float64
    np.testing.assert_array_equal(checked, [0.5, -3.0])


def test_environments_refuse_them_too():
    environment = Desk(observation="state").build()
    environment.reset(seed=0)
    for wrong in (np.full(3, np.nan), np.zeros(4)):
        with pytest.raises(VRLError, match="none of the desk's, which are 3 finite numbers"):
            environment.step(wrong)
    environment.close()
