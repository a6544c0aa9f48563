"""A small package that behaves as RoboHive 0.7.0 does, in the ways that its adapter must know.

It prints when it is imported and refuses to be without its models, which its task files include by
relative paths; shortens NumPy's prints and calls what NumPy 2 took away; registers a hand whose
`reset` returns the bare vector and kitchens whose does not, both deaf to `reset`'s seed; keeps in
its model what the episode before left there; and starts anew a simulation that diverges.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gymnasium
import numpy as np

from vrl_envs.robohive import package as robohive_package

PACKAGE = {
    "__init__.py": """
import os
import numpy as np
print("RoboHive:> hello")
np.set_printoptions(precision=4)
_folder = os.path.dirname(os.path.abspath(__file__))
if not os.path.exists(os.path.join(_folder, "simhive")):
    raise ModuleNotFoundError("run robohive_init")
import gymnasium
from robohive.tasks import Hand, Kitchen
_tasks = {"pen-v1": (Hand, "hand", 12, {}), "pen_v2d-v1": (Hand, "hand", 12, {"visual_keys": [1]}),
    "hammer-v1": (Hand, "broken", 12, {}),
    "FK1_RelaxFixed-v4": (Kitchen, "kitchen", 30,
        {"obj_goal": {}, "obj_init": {"micro0joint": -0.2}})}
for _name, (_class, _model, _steps, _more) in _tasks.items():
    _path = _folder + "/tasks_xml/" + _model + ".xml"
    gymnasium.register(id=_name, entry_point=f"robohive.tasks:{_class.__name__}",
        max_episode_steps=_steps, kwargs={"model_path": _path, **_more})
""",
    "utils/__init__.py": "",
    "utils/prompt_utils.py": """
import enum
class Prompt(enum.IntEnum):
    WARN = 2
    SILENT = 6
LEVEL = Prompt.WARN
def set_prompt_verbosity(level):
    global LEVEL
    LEVEL = level
def prompt(text):
    if LEVEL != Prompt.SILENT:
        print(text)
""",
    "tasks.py": """
import types
import gymnasium
import numpy as np
from dm_control.mujoco import Physics
from robohive.utils import prompt_utils

class Base(gymnasium.Env):
    proprio_keys = None
    dt = 0.02
    def __init__(self, model_path, seed=None, visual_keys=None, **settings):
        if visual_keys is not None:
            raise ImportError("images of its own, with torch")
        print("WARNING: using defaults")
        self.seed(seed)
        physics = Physics.from_xml_path(model_path)
        self.sim = types.SimpleNamespace(model=physics.model, data=physics.data)
        self.physics, self.settings = physics, settings
        self.action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
        self.setup()
    def setup(self):
        pass
    def seed(self, seed=None):
        self.np_random, _ = gymnasium.utils.seeding.np_random(seed)
    def start(self):
        with self.physics.reset_context():
            self.physics.data.qpos[:2] = self.np_random.uniform(-0.5, 0.5, 2)
    def get_obs(self):
        self.obs_dict = {"time": np.array([self.sim.data.time])} | self.parts()
        return np.concatenate([np.ravel(self.obs_dict[key]) for key in self.obs_keys])
    def step(self, action):
        prompt_utils.prompt("a step")
        self.physics.data.ctrl[:] = np.clip(action, -1, 1)
        if not np.isfinite(action).all():
            self.physics.reset()
        else:
            self.physics.step(10)
        observation, reward = self.get_obs(), self.rewards()
        self.obs_dict = {key: np.squeeze(value) for key, value in self.obs_dict.items()}
        told = {f"rwd_{key}": reward[key] for key in ("dense", "sparse")}
        told |= {key: reward[key] for key in ("solved", "done")}
        return observation, told["rwd_dense"], bool(reward["done"]), False, told

class Hand(Base):
    obs_keys = ["hand_jnt", "obj_pos", "obj_vel", "obj_rot", "obj_des_rot", "obj_err_pos",
        "obj_err_rot"]
    def reset(self, seed=None, **kwargs):
        self.start()
        # The first frame shows where the last episode moved the target to.
        self.physics.model.site_pos[0, 2] += 0.05 * self.physics.data.qpos[0]
        self.physics.forward()
        return self.get_obs()
    def parts(self):
        data, three = self.physics.data, np.zeros(3)
        return {"hand_jnt": data.qpos[:2].copy(), "obj_pos": data.site_xpos[0].copy(),
            "obj_vel": data.qvel[:1].copy(), "obj_rot": three, "obj_des_rot": three,
            "obj_err_pos": three, "obj_err_rot": three}
    def step(self, action):
        self.physics.model.site_pos[0, 2] += 0.01
        return super().step(action)
    def rewards(self):
        angle = self.physics.data.qpos[0]
        return {"dense": np.array(angle), "sparse": np.array(-angle), "solved": angle < 9,
            "done": np.array(angle > 1.2)}

class Kitchen(Base):
    obs_keys = ["robot_jnt", "goal_err"]
    proprio_keys = ["robot_jnt", "robot_vel", "width"]
    joints = ("micro0joint", "kettle0:Ty")
    def setup(self):
        self.obj = {name: {"goal_adr": n} for n, name in enumerate(self.joints)}
        self.obj["dof_proximity"] = np.array([0.3, 0.1])
        self.obj_goal = np.zeros(2)
        for name, value in self.settings["obj_goal"].items():
            self.obj_goal[self.obj[name]["goal_adr"]] = value
    def reset(self, seed=None, **kwargs):
        self.start()
        for name, value in (self.settings.get("obj_init") or {}).items():
            self.physics.data.qpos[2 + self.obj[name]["goal_adr"]] = value
        self.physics.forward()
        return self.get_obs(), {}
    def parts(self):
        data = self.physics.data
        return {"robot_jnt": data.qpos[:2].copy(), "robot_vel": data.qvel[:2].copy(),
            "width": np.array([0.1]), "goal_err": self.obj_goal - data.qpos[2:4]}
    def rewards(self):
        near = np.abs(self.obs_dict["goal_err"]) < self.obj["dof_proximity"]
        return {"dense": np.array(1.0 * np.product(near)), "sparse": np.array(0.0),
            "solved": np.all(near), "done": np.array(False)}
""",
    "tasks_xml/hand.xml": '<mujoco><include file="../simhive/arm/arm.xml"/></mujoco>',
    "tasks_xml/broken.xml": """
<mujoco>
  <!-- <include file="none/at/all.xml"/> -->
  <include file="../simhive/tool/tool.xml"/>
</mujoco>
""",
    "tasks_xml/kitchen.xml": """
<mujoco>
  <include file="../simhive/arm/arm.xml"/>
  <worldbody>
    <body pos="-.3 .3 .2">
      <joint name="micro0joint" type="hinge" axis="0 0 1" damping="1"/>
      <geom type="box" size=".1 .02 .1" rgba=".2 .2 .9 1"/>
    </body>
    <body pos=".3 .3 .1">
      <joint name="kettle0:Ty" type="slide" axis="0 1 0" damping="9"/>
      <geom type="sphere" size=".08" rgba=".9 .2 .2 1"/>
    </body>
  </worldbody>
</mujoco>
""",
}
ARM = """
<mujoco>
  <option gravity="0 0 0"/>
  <worldbody>
    <light pos="0 0 3"/>
    <camera name="vil_camera" pos="0 -1.5 .8" xyaxes="1 0 0 0 .4 .9"/>
    <camera name="left_cam" pos="-.3 -1.2 .8" xyaxes="1 0 0 0 .4 .9"/>
    <camera name="top" pos="0 0 2"/>
    <geom type="plane" size="2 2 .1" rgba=".4 .6 .4 1"/>
    <site name="target" pos=".2 .2 .3" size=".07" rgba="1 0 0 1"/>
    <body pos="0 0 .3">
      <joint name="first" axis="0 0 1" damping=".2"/>
      <geom type="capsule" fromto="0 0 0 .4 0 0" size=".05" rgba=".8 .8 .1 1"/>
      <body pos=".4 0 0">
        <joint name="second" axis="0 1 0" damping=".2"/>
        <geom type="capsule" fromto="0 0 0 .3 0 0" size=".04" rgba=".1 .8 .8 1"/>
      </body>
    </body>
  </worldbody>
  <actuator><motor joint="first"/><motor joint="second"/></actuator>
</mujoco>
"""


def write_package(site: Path, release: str = robohive_package.RELEASE) -> Path:
    """Write the package as it is installed, without its models, and return its folder."""
    for name, text in PACKAGE.items():
        write(site / "robohive" / name, text)
    write(
        site / f"robohive-{release}.dist-info" / "METADATA",
        f"Metadata-Version: 2.1\nName: robohive\nVersion: {release}\n",
    )
    return site / "robohive"


def write_models(folder: Path, release: str = robohive_package.RELEASE) -> Path:
    """Write its models and return their folder."""
    write(folder / "arm" / "arm.xml", ARM)
    write(folder / "simhive-version", release)
    return folder


def write(path: Path, text: str) -> None:
    """Write a file, and the folders it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.lstrip(), encoding="utf-8")


@contextmanager
def only_the_fake() -> Iterator[None]:
    """Take the real RoboHive, if any, out of this process, and afterwards put everything back."""
    tasks, options = dict(gymnasium.registry), np.get_printoptions()
    modules = {name: sys.modules.pop(name) for name in _modules()}
    loaded = dict(robohive_package._loaded)
    robohive_package._loaded.clear()
    try:
        yield
    finally:
        for name in _modules():
            del sys.modules[name]
        sys.modules.update(modules)
        gymnasium.registry.clear()
        gymnasium.registry.update(tasks)
        robohive_package._loaded.clear()
        robohive_package._loaded.update(loaded)
        np.set_printoptions(**options)


def _modules() -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] == "robohive"]
