"""The quality `human` of `adroit`: recorded demonstrations replayed, drawn, and compared."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from tiny_adroit import dapg_arrays, demonstrate, write_tables
from vrl_core.errors import DamagedDataError, VRLError
from vrl_core.testing import check_dataset
from vrl_envs.adroit.config import AdroitDataset
from vrl_envs.adroit.environment import AdroitEnvironment
from vrl_envs.adroit.tasks import ADROIT_TASKS

REAL = Path(os.environ.get("VRL_TEST_DATA", "")) / "demos" / "adroit_door_human.npz"
TASKS = sorted(ADROIT_TASKS)


@pytest.fixture(scope="module")
def recorded():
    """Two demonstrations of each task, made here, the second shorter."""
    return {task: [demonstrate(task, 1), demonstrate(task, 2, steps=5)] for task in TASKS}


def human(path, task="adroit_door", **settings) -> AdroitDataset:
    defaults = {"observation": "state", "reward": "d4rl", "quality": "human"}
    return AdroitDataset(**{**defaults, "task": task, "demonstrations": Path(path), **settings})


def arrays_file(folder, task, episodes, **changes):
    path = folder / "demos.npz"
    np.savez(path, **{**dapg_arrays(task, episodes), **changes})
    return path


@pytest.mark.parametrize("task", TASKS)
def test_tables_with_every_state_are_drawn_state_by_state(tmp_path, recorded, task):
    path = write_tables(tmp_path / "human.hdf5", task, recorded[task])
    dataset = human(path, task).build()
    assert len(dataset) == 2
    for index, made in enumerate(recorded[task]):
        episode, steps = dataset[index], len(made["actions"])
        assert episode.actions.shape == (steps, made["actions"].shape[1])
        assert episode.truncations.tolist() == [False] * (steps - 1) + [True]
        assert not episode.terminations.any()
        info = episode.info
        assert (info["replay"], info["demonstration"]) == ("states", index)
        # A step of the simulator leaves places a substep of 2 ms behind its joints.
        assert info["largest_deviation"] < 0.02
        assert info["deviation"] < 1e-3
        assert info["recorded_return"] == pytest.approx(made["rewards"].sum(), abs=1e-3)
        np.testing.assert_allclose(episode.rewards, made["rewards"], atol=0.02)
        joints = slice(dataset.environment.task.proprioception)
        np.testing.assert_allclose(
            episode.observations["state"][:-1, joints], made["observations"][:, joints], atol=1e-6
        )


@pytest.mark.parametrize("task", TASKS)
def test_actions_replay_from_the_first_state(tmp_path, recorded, task):
    tables = write_tables(tmp_path / "human.hdf5", task, recorded[task])
    arrays = arrays_file(tmp_path, task, recorded[task])
    for path, replay in ((tables, "actions"), (arrays, "auto")):
        episode = human(path, task, replay=replay).build()[0]
        assert episode.info["replay"] == "actions"
        assert episode.info["deviation"] < 1e-3
        np.testing.assert_allclose(episode.rewards, recorded[task][0]["rewards"], atol=0.05)


def test_actions_are_clipped_as_the_simulator_does_and_lead_on(tmp_path, recorded):
    path = arrays_file(tmp_path, "adroit_door", recorded["adroit_door"])
    dataset = human(path).build()
    episode, made = dataset[0], recorded["adroit_door"][0]
    assert np.abs(made["actions"]).max() > 1
    expected = np.clip(made["actions"], -1, 1).astype(np.float32)
    np.testing.assert_array_equal(episode.actions, expected)
    assert episode.info["clipped_actions"] == (np.abs(made["actions"]) > 1).any(1).mean()
    env = AdroitEnvironment(dataset.config.environment())
    env.reset(seed=0)
    env.place(made["qpos"][0], made["qvel"][0], {"door_body_pos": made["door_body_pos"][0]})
    for action, following in zip(expected, episode.observations["state"][1:], strict=True):
        np.testing.assert_allclose(env.step(action)[0], following, atol=1e-4)


def test_the_first_observation_says_where_the_arm_is(tmp_path, recorded):
    """DAPG's files have zeros for all joints; the lift, which is not observed, is found too."""
    made = demonstrate("adroit_door", 3, steps=14)
    late = {name: value[8:] for name, value in made.items()}
    start = {"init_qpos_00": np.zeros(30), "init_qvel_00": late["qvel"][0]}
    path = arrays_file(tmp_path, "adroit_door", [late], **start)
    assert np.abs(late["qpos"][0]).max() > 0.02
    dataset = human(path).build()
    episode = dataset[0]
    assert episode.info["largest_deviation"] < 0.02
    dataset.environment.reset(seed=0)
    dataset._begin(dataset.file.read(0))
    np.testing.assert_allclose(dataset.environment.inner.data.qpos, late["qpos"][0], atol=5e-3)


def test_a_pen_that_falls_ends_its_demonstration_if_asked_to(tmp_path, recorded):
    made = {name: value.copy() for name, value in recorded["adroit_pen"][0].items()}
    made["qpos"][3:, 24] += 0.19  # the pen's first joint points down
    path = write_tables(tmp_path / "human.hdf5", "adroit_pen", [made])
    settings = {"tolerance": 1.0}
    goes_on = human(path, "adroit_pen", **settings).build()[0]
    ends = human(path, "adroit_pen", terminate_when_dropped=True, **settings).build()[0]
    assert (len(goes_on), len(ends)) == (8, 4)
    assert ends.terminations.tolist() == [False] * 3 + [True]
    assert not ends.truncations.any()


def test_pictures_are_the_states_and_episodes_pure(tmp_path, recorded):
    path = write_tables(tmp_path / "human.hdf5", "adroit_door", recorded["adroit_door"])
    config = human(path, observation="both", size=16, camera="fixed")
    check_dataset(config, episodes=2, spawn=False)
    dataset = config.build()
    episode = dataset[0]
    assert episode.observations["image"].shape == (9, 16, 16, 3)
    assert len(np.unique(episode.observations["image"], axis=0)) > 3
    state = recorded["adroit_door"][0]
    layout = {"door_body_pos": state["door_body_pos"][4].astype("f4")}
    shown = dataset.environment.place(
        state["qpos"][4].astype("f4"), state["qvel"][4].astype("f4"), layout
    )
    np.testing.assert_array_equal(shown["image"], episode.observations["image"][4])
    assert dataset.spec.behaviour == "human"
    assert dataset.spec.environment["horizon"] == 200
    dataset.close()


def test_a_replay_that_leaves_the_recording_is_refused(tmp_path, recorded):
    """A first state that is not the recording's: actions never recover, states are set anew."""
    made = {name: value.copy() for name, value in recorded["adroit_relocate"][0].items()}
    made["qpos"][0, :30] += 0.3
    path = write_tables(tmp_path / "human.hdf5", "adroit_relocate", [made])

    def replayed(**settings):
        return human(path, "adroit_relocate", **settings).build()[0]

    with pytest.raises(VRLError, match=r"Demonstration 0 of .* does not replay.*--replay states"):
        replayed(replay="actions", tolerance=0.1)
    allowed = replayed(replay="actions", tolerance=1.0).info["deviation"]
    assert replayed(tolerance=0.1).info["deviation"] < 0.1 < allowed


def test_files_that_do_not_fit_are_explained(tmp_path, recorded):
    door, pen = (recorded[task] for task in ("adroit_door", "adroit_pen"))
    tables = write_tables(tmp_path / "door.hdf5", "adroit_door", door)
    arrays = arrays_file(tmp_path, "adroit_door", door)
    bare = tmp_path / "bare.hdf5"
    with h5py.File(tables, "r") as full, h5py.File(bare, "w") as file:
        for name in ("observations", "actions", "rewards", "terminals"):
            file[name] = full[name][:]
    swapped = write_tables(tmp_path / "swapped.hdf5", "adroit_door", [{**door[0], **{
        name: pen[0][name] for name in ("actions", "observations")}}])  # fmt: skip
    pickled = tmp_path / "door-v0_demos.pickle"
    pickled.write_bytes(b"")
    noise = tmp_path / "noise.npz"
    noise.write_bytes(b"nothing")
    other = tmp_path / "other.npz"
    np.savez(other, images=np.zeros(3))
    for path, settings, message in [
        (tables, {"task": "adroit_pen"}, r"lacks infos/desired_orien; it has infos/.*adroit_pen"),
        (arrays, {"task": "adroit_relocate"}, r"lacks init_obj_pos_00.*adroit_relocate"),
        (swapped, {}, r"actions of shape \(8, 24\); those of adroit_door end in 28"),
        (bare, {}, r"lacks infos/qpos, infos/qvel, infos/door_body_pos; it has no infos"),
        (tmp_path / "none.npz", {}, "There is no file"),
        (pickled, {}, r"can run any code.*python convert\.py"),
        (tmp_path / "convert.py", {}, "no file|by its name"),
        (other, {}, "no actions_00, but images"),
        (arrays, {"episodes": 3}, "3 episodes were asked for; .* has 2"),
        (arrays, {"replay": "states"}, "first state of each demonstration alone"),
    ]:
        with pytest.raises(VRLError, match=f"(?s){message}"):
            human(path, **settings).build()
    with pytest.raises(DamagedDataError, match="cannot be read"):
        human(noise).build()
    lost = {"observations_01": door[1]["observations"][:-1]}
    with pytest.raises(VRLError, match="different numbers of steps"):
        human(arrays_file(tmp_path, "adroit_door", door, **lost)).build()
    empty = {"rewards_00": np.full(8, np.nan)}
    with pytest.raises(VRLError, match="rewards that are not all finite"):
        human(arrays_file(tmp_path, "adroit_door", door, **empty)).build()


def test_settings_that_do_not_belong_together_are_explained(tmp_path):
    for settings, message in [
        ({"quality": "human"}, "name their file with --demonstrations"),
        ({"demonstrations": tmp_path}, "replayed by quality human alone, not by random"),
        (
            {"quality": "human", "demonstrations": tmp_path, "action_repeat": 2},
            "leave action_repeat at 1",
        ),
        ({"replay": "states"}, "replay states would change nothing.* only human"),
        (
            {"quality": "human", "demonstrations": tmp_path, "replay": "state"},
            "Did you mean 'states'",
        ),
        ({"quality": "human", "demonstrations": tmp_path, "tolerance": -1.0}, "it must be at"),
    ]:
        with pytest.raises(VRLError, match=message):
            AdroitDataset(**settings)


@pytest.mark.skipif(not REAL.is_file(), reason="VRL_TEST_DATA has no demos/adroit_door_human.npz")
def test_dapgs_demonstrations_of_the_door_replay():
    dataset = human(REAL).build()
    assert len(dataset) == 25
    for index in (2, 16, 23):
        episode = dataset[index]
        assert episode.info["deviation"] < 0.003
        # D4RL's reward is the recording's own
        recorded = episode.info["recorded_return"]
        assert episode.undiscounted_return == pytest.approx(recorded, abs=0.5)
