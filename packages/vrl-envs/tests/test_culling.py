"""Meshes that are left out of a scene are those that no pixel shows."""

import numpy as np
import pytest

from vrl_envs.drawing.culling import MeshCulling
from vrl_envs.drawing.rendering import SharedRenderer
from vrl_envs.metaworld.config import MetaWorld
from vrl_envs.metaworld.environment import MetaWorldEnvironment

import mujoco  # isort: skip


def frames(environment, steps=4) -> np.ndarray:
    rng = np.random.default_rng(0)
    seen = [environment.reset(seed=0)[0]]
    seen += [environment.step(rng.uniform(-1, 1, 4))[0] for _ in range(steps)]
    return np.stack(seen)


@pytest.mark.parametrize(
    ("task", "camera", "some"),
    [("sawyer_door_open", None, True), ("hammer", "gripperPOV", True), ("hammer", None, False)],
)
def test_frames_are_the_same_without_what_is_out_of_sight(task, camera, some, monkeypatch):
    environment = MetaWorldEnvironment(
        MetaWorld(task=task, camera=camera, size=24, rendering="fast")
    )
    culled = frames(environment)
    renderer = SharedRenderer._renderers[environment._renderers["image"]._key]
    types = [geom.type for geom in renderer._scene.geoms[: renderer._scene.ngeom]]
    assert (mujoco.mjtGeom.mjGEOM_NONE in types) == some
    monkeypatch.setattr(MeshCulling, "apply", lambda *_: None)
    np.testing.assert_array_equal(culled, frames(environment))
    environment.close()


def test_a_mesh_that_moves_into_sight_is_drawn():
    """A tetrahedron of many faces, a camera that looks along x, and a place on either side."""
    corners = "-1 -1 -1  1 1 -1  1 -1 1  -1 1 1"
    model = mujoco.MjModel.from_xml_string(f"""<mujoco>
      <asset><mesh name="body" vertex="{corners}" scale=".1 .1 .1"/></asset>
      <worldbody><camera pos="0 0 0" xyaxes="0 -1 0 0 0 1" fovy="45"/>
      <body><freejoint/><geom type="mesh" mesh="body"/></body></worldbody></mujoco>""")
    data, scene = mujoco.MjData(model), mujoco.MjvScene(model, maxgeom=10)
    culling = MeshCulling(model)
    culling._geoms = np.array([0])  # however few faces it has
    culling._centres = model.geom_aabb[[0], :3, None]
    culling._halves = model.geom_aabb[[0], 3:, None]
    camera, seen = mujoco.MjvCamera(), []
    camera.type, camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, 0
    # At 5 m the picture's edges lie at 5 tan(22.5 degrees) = 2.07 m.
    for place in ([5, 0, 0], [-5, 0, 0], [5, 2.05, 0], [5, 2.3, 0], [5, 0, -2.05], [5, 0, -2.3]):
        data.qpos[:3] = place
        mujoco.mj_forward(model, data)
        every = mujoco.mjtCatBit.mjCAT_ALL
        option, perturb = mujoco.MjvOption(), mujoco.MjvPerturb()
        mujoco.mjv_updateScene(model, data, option, perturb, camera, every, scene)
        culling.apply(data, scene)
        seen.append(scene.geoms[0].type == mujoco.mjtGeom.mjGEOM_MESH)
    assert seen == [True, False, True, False, True, False]
