"""The dataset `desk`: who closes the drawer how often, and episodes pure in their index."""

import numpy as np
import pytest

import vrl_envs.plugin
from vrl_core.config import from_data
from vrl_core.errors import VRLError
from vrl_core.ingest import write_store
from vrl_core.registry import Registry
from vrl_core.testing import check_dataset
from vrl_envs.desk import config as desk_config
from vrl_envs.desk import dataset as desk_dataset
from vrl_envs.desk.config import DeskDataset

OPENING = 17
"""Where a state holds the drawer's opening."""


def states(**settings) -> DeskDataset:
    return DeskDataset(**{"observation": "state", **settings})


def test_an_expert_closes_the_drawer_and_keeps_it_closed():
    dataset = states(quality="expert", episodes=3, horizon=60).build()
    for index in range(3):
        episode = dataset[index]
        assert episode.info["success"] is True
        assert episode.rewards[-5:].tolist() == [1] * 5
        assert episode.observations["state"][0, OPENING] > 0.05


def test_an_expert_that_fails_is_tried_again_or_given_up(monkeypatch):
    monkeypatch.setattr(desk_dataset, "ATTEMPTS", 2)
    with pytest.raises(VRLError, match=r"failed to close the drawer in 2 episodes of 3 steps"):
        states(quality="expert", horizon=3).build()[0]


def test_exploration_is_about_the_drawer_now_and_then():
    dataset = states(episodes=10).build()
    episodes = [dataset[index] for index in range(10)]
    moved = [np.ptp(episode.observations["state"][:, OPENING]) > 0.01 for episode in episodes]
    closed = [episode.info["success"] for episode in episodes]
    assert 0.3 < np.mean(moved) <= 1
    assert 0 < np.mean(closed) < 0.6


def test_behaviours_differ_in_noise_and_halves():
    dataset = states(quality="medexp", episodes=2, horizon=40).build()
    medium, expert = dataset[0], dataset[1]
    assert [medium.info["behaviour"], expert.info["behaviour"]] == ["medium", "expert"]
    assert np.abs(np.diff(medium.actions, axis=0)).mean() > 2 * (
        np.abs(np.diff(expert.actions, axis=0)).mean()
    )
    actions = states(quality="random", episodes=1).build()[0].actions
    assert actions.shape == (100, 3)
    assert actions.std() == pytest.approx(1 / np.sqrt(3), abs=0.04)


def test_an_episode_depends_on_configuration_and_index_alone():
    for quality in ("exploration", "medium_expert"):
        check_dataset(states(quality=quality, episodes=2, horizon=40), episodes=2, spawn=False)


def test_store_leads_back_to_the_environment_and_says_what_it_is(tmp_path):
    config = DeskDataset(episodes=1, size=8, horizon=6, observation="both")
    store = write_store(config, tmp_path / "store", workers=1)
    spec, episode = store.spec, store[0]
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    assert from_data("environments", dict(spec.environment), registry) == config.environment()
    assert (spec.task, spec.behaviour) == ("drawer_closing_stand_in", "exploration")
    assert (spec.render_quality, spec.action_size) == ("fast", 3)
    assert "stand-in" in spec.source
    assert episode.observations["image"].shape == (7, 8, 8, 3)
    assert episode.observations["state"].shape == (7, 10)
    assert episode.info["success"] is False
    assert len(np.unique(episode.observations["image"], axis=0)) > 4


def test_default_numbers_of_episodes_are_the_papers():
    lengths = {quality: DeskDataset(quality=quality).length() for quality in DeskDataset.qualities}
    assert lengths.pop("exploration") == 1000
    assert set(lengths.values()) == {200}


def test_bad_settings_are_explained():
    for settings, message in (
        ({"quality": "explortion"}, "Did you mean 'exploration'"),
        ({"quality": "medium_expert", "episodes": 1}, "it must be at least 2"),
        ({"interest": 1.5}, "interest is 1.5; it is a share"),
        ({"quality": "medium", "medium_noise": -1.0}, "medium_noise is -1"),
        ({"task": "drawer"}, "Known: drawer_closing_stand_in"),
    ):
        with pytest.raises(VRLError, match=message):
            DeskDataset(**settings)


def test_fingerprint_covers_model_code_and_simulator(monkeypatch, tmp_path):
    assert all(path.is_file() for path in desk_config.MADE_BY)
    fingerprint = states().fingerprint()
    changed = tmp_path / "desk_arm.py"
    changed.write_text("another way to reach")
    with monkeypatch.context() as patched:
        patched.setattr(desk_config, "MADE_BY", (*desk_config.MADE_BY[:2], changed))
        assert states().fingerprint() != fingerprint
    assert {"mujoco", "dm_control"} <= set(fingerprint["versions"])
    assert fingerprint != states(interest=0.5).fingerprint()
