"""What a setting would be without effect on is refused, saying why."""

from __future__ import annotations

import pytest

from vrl_core.errors import VRLError
from vrl_envs.adroit.config import AdroitDataset
from vrl_envs.dclaw.config import DClawDataset
from vrl_envs.desk.config import DeskDataset
from vrl_envs.dmc.config import DMC, DMCDataset
from vrl_envs.gym_mujoco.config import GymMuJoCo, GymMuJoCoDataset
from vrl_envs.hiv.config import HIVDataset
from vrl_envs.kitchen.config import KitchenDataset
from vrl_envs.metaworld.config import MetaWorldDataset
from vrl_envs.robohive.config import RoboHiveDataset


@pytest.mark.parametrize(
    "collector",
    [AdroitDataset, DClawDataset, DMCDataset, GymMuJoCoDataset, HIVDataset, RoboHiveDataset],
)
def test_behaviours_do_not_act_at_random(collector, tmp_path):
    message = "behaviours .* would change nothing: quality random has no use.*--quality expert"
    with pytest.raises(VRLError, match=message):
        collector(quality="random", behaviours=str(tmp_path))
    collector(quality="expert", behaviours=str(tmp_path))
    collector(quality="medium_expert", behaviours=str(tmp_path))


@pytest.mark.parametrize(
    ("collector", "settings", "fitting"),
    [
        (MetaWorldDataset, {"quality": "random", "noise": 0.1}, "medium_expert"),
        (MetaWorldDataset, {"quality": "medium", "noise": 0.1}, "expert"),
        (MetaWorldDataset, {"quality": "expert", "medium_noise": 0.1}, "medium"),
        (DeskDataset, {"quality": "exploration", "noise": 0.0}, "expert"),
        (DeskDataset, {"quality": "expert", "interest": 0.5}, "exploration"),
        (KitchenDataset, {"quality": "random", "noise": 0.0}, "play"),
        (KitchenDataset, {"quality": "expert", "whole_task": False}, "play"),
        (RoboHiveDataset, {"quality": "random", "medium_noise": 0.2}, "medium"),
        (AdroitDataset, {"quality": "expert", "medium_noise": 0.2}, "mixed"),
        (AdroitDataset, {"quality": "medium", "mixed_noise": 0.2}, "mixed"),
    ],
)
def test_noise_of_another_behaviour(collector, settings, fitting):
    name = next(name for name in settings if name != "quality")
    with pytest.raises(VRLError, match=f"^{name} .* would change nothing: quality"):
        collector(**settings)
    collector(**{**settings, "quality": fitting})


def test_videos_that_nobody_sees(tmp_path):
    videos = {"distraction": "low", "distraction_background": "videos"}
    for cls in (DMC, DMCDataset):
        with pytest.raises(VRLError, match="distraction_background procedural"):
            cls(distraction="low", video_folder=tmp_path)
        assert cls(**videos, video_folder=tmp_path).video_folder == tmp_path
    with pytest.raises(VRLError, match="distraction is none and"):
        DMC(video_folder=tmp_path)
    with pytest.raises(VRLError, match="but the background is none of the distraction_parts, cam"):
        DMCDataset(**videos, distraction_parts="camera")


def test_videos_behind_a_share_of_the_episodes(tmp_path):
    videos = {"distraction": "low", "distraction_background": "videos", "video_folder": tmp_path}
    some = DMCDataset(**videos, shifted_share=0.5)
    assert some.episode_environment("stock", distracted=False) == DMC(rendering="fast")
    assert DMCDataset(**videos, shifted_share=0.0).environment() == DMC(rendering="fast")


def test_a_speed_that_is_no_reward_of_the_task():
    with pytest.raises(VRLError, match="jump_velocity is a setting of halfcheetah_capped and"):
        GymMuJoCo(task="hopper", jump_velocity="printed")
    GymMuJoCo(task="halfcheetah_jump", jump_velocity="printed")
