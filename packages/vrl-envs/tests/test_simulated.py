"""What all environments that MuJoCo simulates take over, on a ball before two cameras."""

from types import SimpleNamespace

import numpy as np
import pytest

from vrl_core.errors import VRLError
from vrl_envs.drawing.rendering import SharedRenderer
from vrl_envs.simulated import SimulatedEnvironment, View

import mujoco  # isort: skip

BALL = """<mujoco><worldbody><light pos="0 0 3"/>
  <camera name="above" pos="0 0 2"/><camera name="aside" pos="2 0 0" euler="0 90 0"/>
  <body><freejoint/><geom type="sphere" size=".3" rgba="1 0 0 1"/></body></worldbody></mujoco>"""


class Ball(SimulatedEnvironment):
    """A ball that an action moves along x, seen by one camera or two."""

    def __init__(self, observation, cameras=None, horizon=3):
        self.config = SimpleNamespace(observation=observation, rendering="fast")
        self.model = mujoco.MjModel.from_xml_string(BALL)
        self.data = mujoco.MjData(self.model)
        self.drawings, self.seeds = 0, []
        super().__init__(size=16, actions=1, seconds=0.1, horizon=horizon, cameras=cameras)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed, options=options)
        self.seeds.append(self._seed_for(seed))
        mujoco.mj_resetData(self.model, self.data)
        mujoco.mj_forward(self.model, self.data)
        return self._begin(), {}

    def step(self, action):
        for _ in self._repeats(2):
            self.data.qpos[0] += 0.1 * float(action[0])
            self._count_step()
        mujoco.mj_forward(self.model, self.data)
        return self.observe(), 0.0, False, self._out_of_time(), {}

    def state(self):
        return self.data.qpos.copy()

    def proprioception(self):
        return self.data.qpos[:3]

    def _simulation(self):
        return self.model, self.data

    def _view(self, camera):
        return View(scene="ball", camera=camera or "above")

    def _draw(self, field):
        self.drawings += 1
        return super()._draw(field)


TWO_CAMERAS = {"image": "above", "image_aside": "aside"}


@pytest.mark.parametrize("observation", ["pixels", "state", "both"])
@pytest.mark.parametrize("cameras", [{"image": "above"}, TWO_CAMERAS])
def test_an_observation_is_what_the_space_says(observation, cameras):
    env = Ball(observation, cameras)
    first, _ = env.reset(seed=0)
    following = env.step(np.ones(1))[0]
    assert env.observation_space.contains(first)
    assert env.observation_space.contains(following)
    if observation == "both" or (observation == "pixels" and len(cameras) > 1):
        assert list(first) == [*cameras, *(["state"] if observation == "both" else [])]
    state = following["state"] if observation == "both" else env.state()
    assert state.shape == ((3,) if observation == "both" else (7,))
    assert state[0] == pytest.approx(0.2)
    env.close()


def test_a_state_is_drawn_once_for_each_camera_and_only_when_it_is_shown():
    env = Ball("both", TWO_CAMERAS)
    seen, _ = env.reset(seed=0)
    seen["image"][:] = 0  # nobody else's picture
    assert env.drawings == 2
    assert env.render().any()
    assert env.drawings == 2
    moved = env.step(np.ones(1))[0]
    assert env.drawings == 4
    assert (moved["image"] != seen["image"]).any()
    env.data.qpos[0] = 9
    mujoco.mj_forward(env.model, env.data)
    np.testing.assert_array_equal(env.render(), moved["image"])
    env.forget_frames()
    assert (env.render() != moved["image"]).any()
    env.close()


def test_states_need_no_renderer_until_somebody_looks():
    before = set(SharedRenderer._renderers)
    env = Ball("state")
    env.reset(seed=0), env.step(np.ones(1))
    assert set(SharedRenderer._renderers) == before
    assert env.render().shape == (16, 16, 3)
    assert len(SharedRenderer._renderers.keys() - before) == 1
    env.close()
    assert set(SharedRenderer._renderers) == before
    env.forget_frames()
    with pytest.raises(VRLError, match="closed"):
        env.render()


def test_the_horizon_bounds_the_steps_that_an_action_repeats():
    env = Ball("state", horizon=3)
    env.reset(seed=0)
    steps = [env.step(np.ones(1)) for _ in range(2)]
    assert [truncated for *_, truncated, _ in steps] == [False, True]
    np.testing.assert_allclose([observation[0] for observation, *_ in steps], [0.2, 0.3])
    env.reset()
    assert env.step(np.ones(1))[3] is False


def test_only_the_first_episode_that_nobody_seeds_is_given_a_seed():
    env = Ball("state")
    env.np_random = np.random.default_rng(5)
    env.reset(), env.reset(), env.reset(seed=4), env.reset()
    assert env.seeds == [int(np.random.default_rng(5).integers(2**31)), None, 4, None]
