"""A folder that a setting names and that does not exist is named, with the nearest beside it."""

import pytest

from vrl_core.errors import VRLError
from vrl_envs.adroit.config import AdroitDataset
from vrl_envs.dclaw.config import DClawDataset
from vrl_envs.dmc.backgrounds import video_frames
from vrl_envs.dmc.config import DMCDataset
from vrl_envs.gym_mujoco.config import GymMuJoCoDataset
from vrl_envs.hiv.config import HIVDataset
from vrl_envs.robohive.config import RoboHiveDataset
from vrl_envs.robohive.dataset import policy_files
from vrl_envs.settings import require_folder


@pytest.mark.parametrize("quality", ["mixed", "medium"])
@pytest.mark.parametrize(
    "kind", [AdroitDataset, DClawDataset, DMCDataset, GymMuJoCoDataset, HIVDataset]
)
def test_a_missing_folder_of_behaviours_is_named(tmp_path, kind, quality):
    missing = tmp_path / "behavours"
    data = kind(quality=quality, behaviours=str(missing))
    with pytest.raises(VRLError, match=f"There is no folder {missing}, .*behaviours"):
        data.build()
    with pytest.raises(VRLError, match=f"There is no folder {missing}, .*behaviours"):
        data.fingerprint()  # of a cached store, which is looked for first


def test_a_missing_folder_of_robohives_policies_is_named(tmp_path):
    data = RoboHiveDataset(quality="expert", behaviours=str(tmp_path / "none"))
    with pytest.raises(VRLError, match=r"There is no folder .*none, .*behaviours"):
        policy_files(data)


def test_a_missing_folder_of_videos_is_named(tmp_path):
    with pytest.raises(VRLError, match=r"There is no folder .*none, .*video_folder"):
        video_frames("low", tmp_path / "none")


def test_the_nearest_folder_is_meant_and_a_file_is_none(tmp_path):
    (tmp_path / "behaviours").mkdir()
    (tmp_path / "behavours.txt").touch()
    with pytest.raises(VRLError, match=r"Did you mean .*/behaviours\?$"):
        require_folder("behaviours", tmp_path / "behavours")
    with pytest.raises(VRLError, match=r"behavours\.txt is a file; behaviours takes a folder"):
        require_folder("behaviours", tmp_path / "behavours.txt")
    require_folder("behaviours", None)
    require_folder("behaviours", tmp_path / "behaviours")
