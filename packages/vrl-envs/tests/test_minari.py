"""Minari's datasets, written here as Minari writes them: fields, ends, scaling, and bad ones."""

import json

import h5py
import numpy as np
import pytest

import vrl_envs.plugin
from vrl_core.commands.data_sources import _recognised
from vrl_core.config import from_data
from vrl_core.episodes import DataSpec, FieldSpec
from vrl_core.errors import VRLError
from vrl_core.ingest import write_store
from vrl_core.registry import Registry
from vrl_core.store_manifest import spec_to_data
from vrl_core.testing import check_dataset
from vrl_envs.readers.minari_config import Minari

LENGTHS, TERMINATED = (3, 2, *[1] * 9), 1


def box(shape, low=-1.0, high=1.0, dtype="float32"):
    size = int(np.prod(shape))
    return {
        "type": "Box",
        "dtype": dtype,
        "shape": list(shape),
        "low": [low] * size,
        "high": [high] * size,
    }


def write_minari(root, *, observations=None, spare_row=0, **changes):
    """Eleven episodes, so that names do not sort as numbers; the second terminates."""
    folder = root / "mujoco/halfcheetah/medium-v0"
    (folder / "data").mkdir(parents=True)
    metadata = {
        "total_episodes": len(LENGTHS),
        "dataset_id": "mujoco/halfcheetah/medium-v0",
        "data_format": "hdf5",
        "minari_version": "0.5.4",
        "observation_space": json.dumps(box((17,), -9, 9, "float64")),
        "action_space": json.dumps(box((6,))),
        "env_spec": json.dumps({"id": "HalfCheetah-v5", "kwargs": {}}),
    }
    (folder / "data/metadata.json").write_text(json.dumps(metadata | changes))
    with h5py.File(folder / "data/main_data.hdf5", "w") as file:
        for index, steps in enumerate(LENGTHS):
            group = file.create_group(f"episode_{index}")
            group.attrs["seed"] = 100 + index
            rows = np.arange(steps + 1 + spare_row, dtype=np.float64) + 10 * index
            parts = observations(rows) if observations else np.repeat(rows[:, None], 17, 1)
            if isinstance(parts, dict):
                for name, part in parts.items():
                    group.create_dataset(f"observations/{name}", data=part)
            else:
                group["observations"] = parts
            last = np.arange(steps) == steps - 1
            group["actions"] = np.full((steps, 6), 0.5, np.float32)
            group["rewards"] = np.arange(steps, dtype=np.float64)
            group["terminations"] = last & (index == TERMINATED)
            group["truncations"] = last & (index == 0)
    return folder


def test_episodes_are_as_they_were_written(tmp_path):
    config = Minari(path=str(write_minari(tmp_path)))
    dataset = config.build()
    assert [len(dataset[index]) for index in range(len(dataset))] == list(LENGTHS)
    first, second = dataset[0], dataset[1]
    assert first.observations["state"][:, 0].tolist() == [0, 1, 2, 3]
    assert first.rewards.tolist() == [0, 1, 2]
    assert (first.terminations.any(), first.truncations.tolist()) == (False, [False, False, True])
    assert (second.terminations.tolist(), second.truncations.any()) == ([False, True], False)
    assert dataset[10].observations["state"][0, 0] == 100  # not episode_1's neighbour by name
    assert dataset[10].truncations.tolist() == [True]  # one that the collector marked no end of
    assert first.info == {"episode": "episode_0", "seed": 100}
    check_dataset(config, episodes=2, spawn=False)


def test_the_environment_is_found_and_the_format_recognised(tmp_path):
    folder = write_minari(tmp_path)
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    spec = Minari(path=str(folder)).build().spec
    environment = from_data("environments", dict(spec.environment), registry)
    assert (environment.task, environment.version) == ("halfcheetah", "v5")
    assert (spec.task, spec.behaviour) == ("halfcheetah", "medium")
    assert spec.source == "Minari mujoco/halfcheetah/medium-v0"
    assert _recognised(folder, registry) == "minari"
    assert not Minari.recognises(tmp_path)


def test_dictionaries_give_a_field_a_part(tmp_path):
    def parts(rows):
        return {
            "image": np.zeros((len(rows), 4, 4, 3), np.uint8),
            "arm/angle": np.repeat(rows[:, None], 2, 1),
        }

    env_spec = json.dumps({"id": "Reach-v1"})
    arm = {"type": "Dict", "subspaces": {"angle": box((2,), -9, 9, "float64")}}
    space = {"image": box((4, 4, 3), 0, 255, "uint8"), "arm": arm}
    folder = write_minari(
        tmp_path,
        observations=parts,
        env_spec=env_spec,
        observation_space=json.dumps({"type": "Dict", "subspaces": space}),
    )
    spec = Minari(path=str(folder)).build().spec
    assert spec.observations == {
        "image": FieldSpec((4, 4, 3), "uint8"),
        "arm_angle": FieldSpec((2,), "float32"),
    }
    assert (spec.task, spec.environment) == ("reach_v1", None)


def test_actions_are_scaled_into_the_unit_box(tmp_path):
    folder = write_minari(tmp_path, action_space=json.dumps(box((6,), -0.5, 1.5)))
    assert Minari(path=str(folder)).build()[0].actions == pytest.approx(np.zeros((3, 6)))


@pytest.mark.parametrize("bound", [0.2, np.inf])
def test_actions_beyond_their_bounds_are_clipped_on_request(tmp_path, bound):
    space = json.dumps(box((6,), -bound, bound))
    config = Minari(path=str(write_minari(tmp_path, action_space=space)), clip_actions=True)
    assert (config.build()[0].actions == min(1, 0.5 / min(bound, 1))).all()


@pytest.mark.parametrize(
    ("arguments", "known"),
    [({"render_mode": "rgb_array", "width": 64}, True), ({"ctrl_cost_weight": 0.2}, False)],
)
def test_an_environments_pictures_are_not_its_task(tmp_path, arguments, known):
    env_spec = json.dumps({"id": "HalfCheetah-v5", "kwargs": arguments})
    spec = Minari(path=str(write_minari(tmp_path, env_spec=env_spec))).build().spec
    assert (spec.environment is not None) == known


def test_kitchens_keys_have_spaces(tmp_path):
    goals = {"light switch": box((2,), -9, 9, "float64"), "kettle": box((7,), -9, 9, "float64")}
    space = {"achieved_goal": {"type": "Dict", "subspaces": goals}}

    def parts(rows):
        return {
            f"achieved_goal/{name}": np.repeat(rows[:, None], goal["shape"][0], 1)
            for name, goal in goals.items()
        }

    folder = write_minari(
        tmp_path,
        observations=parts,
        observation_space=json.dumps({"type": "Dict", "subspaces": space}),
    )
    store = write_store(Minari(path=str(folder)), tmp_path / "store", workers=1)
    assert set(store.spec.observations) == {"achieved_goal_light_switch", "achieved_goal_kettle"}
    np.testing.assert_array_equal(
        store[1].observations["achieved_goal_light_switch"][:, 0], [10, 11, 12]
    )
    goals["light_switch"] = goals["light switch"]
    metadata = folder / "data/metadata.json"
    changed = json.loads(metadata.read_text())
    changed["observation_space"] = json.dumps({"type": "Dict", "subspaces": space})
    metadata.write_text(json.dumps(changed))
    with pytest.raises(VRLError, match="'achieved_goal/light switch' and 'achieved_goal/light_sw"):
        Minari(path=str(folder)).build()


def test_what_vrl_exported_keeps_its_description(tmp_path):
    spec = DataSpec(
        task="hiv", observations={"state": FieldSpec((17,), "float32")}, action_size=6, seed=4
    )
    folder = write_minari(tmp_path, vrl_spec=json.dumps(spec_to_data(spec)))
    assert Minari(path=str(folder)).build().spec == spec


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data_format": "zarr"}, "stored as 'zarr'"),
        ({"action_space": json.dumps({"type": "Discrete", "n": 4})}, "are Discrete"),
        ({"action_space": json.dumps(box((6,), -1.0, float("inf")))}, "have no bounds"),
        ({"action_space": json.dumps(box((6,), -0.2, 0.2))}, "actions of size 2.5.*clip-actions"),
        ({"action_space": "{"}, "no Minari dataset that can be read"),
        ({"spare_row": 1}, "one observation more than actions"),
    ],
)
def test_what_cannot_be_read_is_explained(tmp_path, changes, message):
    folder = write_minari(tmp_path, **changes)
    with pytest.raises(VRLError, match=message):
        Minari(path=str(folder)).build()[0]
    with pytest.raises(VRLError, match="no Minari dataset"):
        Minari(path=str(tmp_path / "missing")).build()
