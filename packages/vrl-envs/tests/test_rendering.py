"""Rendering: reference pixels equal dm_control's, fast ones are their own, renderers are shared."""

from dataclasses import replace

import numpy as np
import pytest

from vrl_core.errors import VRLError
from vrl_envs.dmc.config import DMC
from vrl_envs.drawing.mesh_detail import coarse_planes
from vrl_envs.drawing.rendering import QUALITIES, SharedRenderer


def moved_physics(task: str):
    """The simulator a few random steps into an episode."""
    environment = DMC(task=task, observation="state").build()
    environment.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(5):
        environment.step(rng.uniform(-0.8, 0.8, environment.action_size))
    return environment._physics


@pytest.mark.parametrize(
    ("task", "size", "camera"),
    [
        ("walker_walk", 64, 0),
        ("cheetah_run", 84, 0),
        ("humanoid_walk", 32, 1),
        ("reacher_easy", 48, -1),
        ("quadruped_escape", 32, -1),  # its terrain is drawn anew for each episode
    ],
)
def test_reference_equals_dm_control_bit_for_bit(task, size, camera):
    physics = moved_physics(task)
    expected = physics.render(size, size, camera_id=camera)
    renderer = SharedRenderer(task, physics.model.ptr, size, camera, "reference")
    image = renderer.render(physics.model.ptr, physics.data.ptr)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, expected)
    # and the two can go on side by side
    np.testing.assert_array_equal(physics.render(size, size, camera_id=camera), expected)
    renderer.close()
    physics.free()


def test_drawings_of_another_library_in_between_change_nothing():
    import mujoco

    physics = moved_physics("cheetah_run")
    model, data = physics.model.ptr, physics.data.ptr
    renderer = SharedRenderer("cheetah_run", model, 32, 0, "fast")
    first = renderer.render(model, data)
    other = mujoco.Renderer(model, 32, 32)
    other.update_scene(data)
    other.render()
    physics.step(5)
    second = renderer.render(model, data)
    assert (second != first).any()
    other.close()
    fresh = SharedRenderer("cheetah_run", model, 32, 0, "fast", group="fresh")
    np.testing.assert_array_equal(renderer.render(model, data), second)
    np.testing.assert_array_equal(fresh.render(model, data), second)
    for each in (renderer, fresh):
        each.close()
    physics.free()


def test_fast_draws_the_same_scene_without_shadow():
    physics = moved_physics("walker_walk")
    images = {}
    for quality in ("reference", "fast"):
        renderer = SharedRenderer("walker_walk", physics.model.ptr, 64, 0, quality)
        images[quality] = renderer.render(physics.model.ptr, physics.data.ptr).astype(int)
        renderer.close()
    difference = np.abs(images["fast"] - images["reference"])
    assert 1 < difference.mean() < 20
    # The sky has neither shadows nor reflections: there only facets differ.
    assert difference[:8].mean() < 1


def test_fast_divides_a_floor_of_many_cells_less_finely():
    physics = moved_physics("humanoid_walk")
    model, data = physics.model.ptr, physics.data.ptr
    sizes, images = model.geom_size.copy(), []
    for quality in (QUALITIES["fast"], replace(QUALITIES["fast"], plane_cells=None)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(QUALITIES, "fast", quality)
            renderer = SharedRenderer("humanoid_walk", model, 64, 0, "fast")
        images.append(renderer.render(model, data).astype(int))
        renderer.close()
    np.testing.assert_array_equal(model.geom_size, sizes)
    assert 0 < np.abs(images[0] - images[1]).max() < 16  # a shade of the floor
    floor = model.geom("floor").id
    with coarse_planes(model, 60):
        assert model.geom_size[floor].tolist() == pytest.approx([100, 100, 200 / 60])
    with coarse_planes(model, 201):  # more than any has
        np.testing.assert_array_equal(model.geom_size, sizes)
    physics.free()


def test_terrain_is_drawn_as_it_is_now():
    physics = moved_physics("quadruped_escape")
    model, data = physics.model.ptr, physics.data.ptr
    renderer = SharedRenderer("quadruped_escape", model, 32, -1, "fast")
    before = renderer.render(model, data)
    terrain = model.hfield_data.copy()
    model.hfield_data[:] = terrain[::-1]
    other = renderer.render(model, data)
    assert (other != before).any()
    model.hfield_data[:] = terrain
    np.testing.assert_array_equal(renderer.render(model, data), before)
    renderer.close()
    physics.free()


def test_model_keeps_its_settings():
    physics = moved_physics("cheetah_run")
    visual = physics.model.vis
    before = (visual.quality.offsamples, visual.quality.numslices, visual.global_.offwidth)
    SharedRenderer("cheetah_run", physics.model.ptr, 16, 0, "fast").close()
    assert before == (visual.quality.offsamples, visual.quality.numslices, visual.global_.offwidth)


def test_environments_share_a_renderer_and_do_not_mix():
    others = set(SharedRenderer._renderers)
    config = DMC(task="cheetah_run", size=16, rendering="fast")
    first, second = config.build(), config.build()
    alone, _ = first.reset(seed=1)
    other, _ = second.reset(seed=2)
    assert (alone != other).any()
    assert len(SharedRenderer._renderers.keys() - others) == 1
    first.step(np.ones(6))
    second.close()
    again, _ = first.reset(seed=1)
    np.testing.assert_array_equal(again, alone)
    first.close()
    assert not SharedRenderer._renderers.keys() - others
    with pytest.raises(VRLError, match="closed"):
        first.reset(seed=1)


def test_missing_camera_names_those_that_exist():
    with pytest.raises(VRLError, match=r"no camera 7.*0 \(side\)"):
        DMC(task="cheetah_run", camera=7).build()
