import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest

import vrl_envs.plugin
from tiny_vd4rl import rows, table, write_hdf5, write_npz
from vrl_core.agreement import check_identity
from vrl_core.config import from_data
from vrl_core.errors import DamagedDataError, VRLError
from vrl_core.ingest import write_store
from vrl_core.registry import Registry
from vrl_envs.dmc.config import DMC
from vrl_envs.readers.damage import IncompleteDataWarning
from vrl_envs.readers.vd4rl_config import VD4RL

pytestmark = pytest.mark.filterwarnings("ignore::vrl_envs.readers.damage.IncompleteDataWarning")


def test_the_description_is_that_of_the_published_data(tmp_path):
    folder = tmp_path / "main/walker_walk/medium_replay/64px"
    write_npz(folder)
    spec = VD4RL(path=str(folder)).build().spec
    assert (spec.task, spec.behaviour, spec.action_size) == ("walker_walk", "mixed", 6)
    assert (spec.action_repeat, spec.render_quality) == (2, "reference")
    assert (spec.source, spec.licence) == ("V-D4RL", "MIT")
    assert spec.environment == {
        "name": "dmc",
        "task": "walker_walk",
        "size": 4,
        "camera": 0,
        "action_repeat": 2,
        "rendering": "reference",
    }


def test_enlarged_images_are_told_from_rendered_ones(tmp_path):
    columns = table([4])
    folder = tmp_path / "walker_walk/expert/84px"
    path = write_hdf5(folder / "data.hdf5", columns)
    assert VD4RL(path=str(folder)).build().spec.source == "V-D4RL"
    write_hdf5(path, columns | {"step_type": columns["step_type"].astype(float)})
    assert VD4RL(path=str(folder)).build().spec.source == "V-D4RL, 4 px upsampled from 64 px"


@pytest.mark.parametrize(
    ("folder", "shift"),
    [
        ("distracting/walker_walk_random/64px/easy", {"distraction": "low"}),
        ("distracting/cheetah_run_expert/64px/medium", {"distraction": "moderate"}),
        ("distracting/walker_walk_random/64px/hard", {"distraction": "high"}),
        ("multitask/walker_walk_random/64px", {"limb": "ABCDEFGH"}),
        ("multitask/cheetah_run_random/64px", {"limb": "ABCDEFGH"}),
    ],
)
def test_shifted_data_names_the_environment_with_its_own_shift(tmp_path, folder, shift):
    write_npz(tmp_path / folder)
    spec = VD4RL(path=str(tmp_path / folder)).build().spec
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    recorded = from_data("environments", dict(spec.environment), registry)
    if "distraction" in shift:
        shift |= {"distraction_draw": "fixed", "distraction_background": "videos"}
    assert recorded == DMC(task=spec.task, size=4, **shift)
    check_identity(spec, recorded, registry)
    changes = {"distraction_background": "procedural"} if recorded.parts else {"limb": "stock"}
    with pytest.raises(VRLError, match="add --allow-mismatch"):
        check_identity(spec, replace(recorded, **changes), registry)


def test_without_the_videos_the_way_out_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("VRL_HOME", str(tmp_path / "home"))
    folder = tmp_path / "distracting/walker_walk_random/84px/medium"
    write_hdf5(folder / "data.hdf5", table([4]))
    spec = VD4RL(path=str(folder)).build().spec
    assert (spec.task, spec.behaviour) == ("walker_walk", "random")
    assert spec.source == "V-D4RL, distracting medium (one fixed distraction)"
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    recorded = from_data("environments", dict(spec.environment), registry)
    with pytest.raises(VRLError) as error:
        recorded.build()
    said = str(error.value)
    assert f"{tmp_path / 'home' / 'DAVIS'} has 0 videos; the distraction moderate takes 8" in said
    assert "--environment distraction_background=procedural --allow-mismatch" in said


def test_a_shift_that_no_folder_tells_names_no_environment(tmp_path):
    write_npz(tmp_path / "walker_walk_random")
    spec = VD4RL(path=str(tmp_path / "walker_walk_random"), suite="distracting").build().spec
    assert spec.environment is None


def test_the_manifest_says_what_a_shifted_suite_was_collected_with(tmp_path):
    write_npz(tmp_path / "vd4rl/multitask/cheetah_run_random/64px")
    write_npz(tmp_path / "vd4rl/multitask/walker_walk_random/64px")
    write_npz(tmp_path / "vd4rl/distracting/walker_walk_random/64px/hard")
    root = str(tmp_path / "vd4rl")

    def source(**chosen):
        return VD4RL(path=root, **chosen).build().spec.source

    assert source(task="cheetah_run") == "V-D4RL, multitask (torso lengths 1 to 8)"
    said = source(suite="multitask", task="walker_walk")
    assert said == "V-D4RL, multitask (limb lengths len_1 to len_8)"
    assert source(difficulty="hard") == "V-D4RL, distracting hard (one fixed distraction)"
    with pytest.raises(VRLError, match="Several datasets"):
        source(task="walker_walk")
    with pytest.raises(VRLError, match="None of the datasets"):
        source(difficulty="easy")
    with pytest.raises(VRLError, match="multitask has no difficulties"):
        source(suite="multitask", difficulty="easy")


def test_the_suite_of_a_folder_without_a_telling_name_may_be_given(tmp_path):
    """Read as of the main suite, the folder's `medium` would be a quality."""
    folder = tmp_path / "walker_walk_random/medium"
    write_npz(folder)
    assert VD4RL(path=str(folder)).build().spec.behaviour == "medium"
    spec = VD4RL(path=str(folder), suite="distracting").build().spec
    assert (spec.behaviour, spec.environment["distraction"]) == ("random", "moderate")
    assert spec.source == "V-D4RL, distracting medium (one fixed distraction)"


@pytest.mark.parametrize("layout", ["npz", "hdf5"])
def test_damaged_files_are_left_out_on_request(tmp_path, layout):
    folder = tmp_path / "walker_walk/expert"
    if layout == "npz":
        bad = write_npz(folder, episodes=2)[0]
    else:
        bad = write_hdf5(folder / "0.hdf5", table([4]))
        write_hdf5(folder / "1.hdf5", table([4], first_episode=1))
    bad.write_bytes(bad.read_bytes()[:90])
    with pytest.raises(DamagedDataError, match=rf"{bad.name} cannot be read.*skip-damaged"):
        VD4RL(path=str(folder)).build()
    with pytest.warns(IncompleteDataWarning, match=rf"left out 1 damaged files: .*{bad.name}"):
        dataset = VD4RL(path=str(folder), skip_damaged=True).build()
    assert dataset[0].rewards.tolist() == [11, 12, 13, 14]


@pytest.fixture
def tree(tmp_path):
    """The published tree with three datasets."""
    write_npz(tmp_path / "vd4rl/main/walker_walk/expert/64px")
    write_hdf5(tmp_path / "vd4rl/main/walker_walk/expert/84px/data.hdf5", table([4]))
    write_npz(tmp_path / "vd4rl/main/cheetah_run/medium_expert/64px", episodes=2)
    return tmp_path


def test_a_dataset_is_chosen_from_the_tree(tree):
    assert len(VD4RL(path=str(tree), task="cheetah_run").build()) == 2
    assert len(VD4RL(path=str(tree), quality="medexp").build()) == 2
    dataset = VD4RL(path=str(tree), task="walker_walk", layout="hdf5").build()
    assert dataset[0].info["file"] == "data.hdf5"


def test_an_ambiguous_tree_is_listed(tree):
    with pytest.raises(VRLError, match=r"Several datasets .*walker_walk/expert/84px \(hdf5, 1"):
        VD4RL(path=str(tree), task="walker_walk").build()


def test_a_dataset_that_is_not_in_the_tree_is_answered_with_those_that_are(tree):
    with pytest.raises(VRLError, match=r"None of the datasets .*cheetah_run/medium_expert/64px"):
        VD4RL(path=str(tree), task="humanoid_walk").build()


def test_one_file_is_a_dataset_too(tmp_path):
    _, second = write_npz(tmp_path / "walker_walk/expert", episodes=2)
    assert VD4RL(path=str(second)).build()[0].rewards[0] == 11


def test_a_folder_without_a_telling_name_needs_the_task(tmp_path):
    write_npz(tmp_path / "backup")
    with pytest.raises(VRLError, match=r"--dataset\.task walker_walk"):
        VD4RL(path=str(tmp_path / "backup")).build()
    spec = VD4RL(path=str(tmp_path / "backup"), task="cheetah-run").build().spec
    assert (spec.task, spec.behaviour) == ("cheetah_run", "unknown")


def test_a_mistyped_task_is_answered_with_the_nearest(tmp_path):
    write_npz(tmp_path)
    with pytest.raises(VRLError, match="Did you mean 'walker_walk'"):
        VD4RL(path=str(tmp_path), task="walker_wlak").build()


def test_actions_of_another_task_are_refused(tmp_path):
    write_npz(tmp_path, **rows(actions=21))
    with pytest.raises(VRLError, match=r"21 numbers; those of walker_walk have 6.*humanoid_walk"):
        VD4RL(path=str(tmp_path), task="walker_walk").build()


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_missing_files_are_a_clear_error(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(VRLError, match=name):
        VD4RL(path=str(tmp_path / name), task="walker_walk").build()


def test_an_incomplete_download_is_counted_and_warned_of(tmp_path):
    folder = tmp_path / "cheetah_run/medium_replay/64px"
    write_npz(folder, episodes=3)
    with pytest.warns(IncompleteDataWarning, match="3 episodes, 12 transitions.* has 200,000"):
        VD4RL(path=str(folder)).build()


def test_a_complete_dataset_gives_no_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "vrl_envs.readers.vd4rl_dataset.published_transitions", lambda task, quality: 12
    )
    write_npz(tmp_path / "walker_walk/expert", episodes=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        VD4RL(path=str(tmp_path / "walker_walk/expert")).build()


def test_the_dataset_is_a_sequence(tmp_path):
    write_npz(tmp_path / "walker_walk/expert", episodes=3)
    dataset = VD4RL(path=str(tmp_path / "walker_walk/expert")).build()
    assert dataset[-1].rewards[0] == 21
    with pytest.raises(IndexError):
        dataset[3]


def test_recognises_its_own_files_and_no_others(tmp_path):
    (npz,) = write_npz(tmp_path / "a")
    hdf5 = write_hdf5(tmp_path / "b/data.hdf5", table([4]))
    foreign = write_hdf5(tmp_path / "c/data.hdf5", {"observations": np.zeros(3)})
    np.savez(tmp_path / "d.npz", weights=np.zeros(3))
    for path in (npz, hdf5, npz.parent, hdf5.parent):
        assert VD4RL.recognises(path)
    for path in (foreign, foreign.parent, tmp_path / "d.npz", tmp_path / "nowhere"):
        assert not VD4RL.recognises(path)


def test_recognises_a_damaged_file_by_its_folder(tmp_path):
    (path,) = write_npz(tmp_path / "walker_walk/expert/64px")
    path.write_bytes(path.read_bytes()[:100])
    assert VD4RL.recognises(path.parent)


@pytest.mark.parametrize("layout", ["npz", "hdf5"])
def test_a_store_of_the_files_holds_the_same_episodes(tmp_path, layout):
    folder = tmp_path / "walker_walk/expert"
    if layout == "npz":
        write_npz(folder, episodes=5)
    else:
        write_hdf5(folder / "data.hdf5", table([4] * 5), chunks=(7, 1, 4, 4))
    config = VD4RL(path=str(folder))
    store = write_store(config, tmp_path / "store", workers=1)
    assert store.spec == config.build().spec
    assert [episode.rewards.tolist() for episode in store] == [
        [10 * number + step for step in (1, 2, 3, 4)] for number in range(5)
    ]
    assert store.fields["observation.image"][:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4] * 5


def test_the_configuration_imports_nothing_heavy():
    heavy = "torch numpy h5py huggingface_hub gymnasium mujoco dm_control"
    code = (
        "import sys, vrl_envs.readers.vd4rl_config, vrl_envs.readers.vd4rl_names\n"
        f"print(*sorted(set('{heavy}'.split()) & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == []
