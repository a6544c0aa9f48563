"""The dataset `dmc`: episodes are pure functions of configuration and index, and say who acted."""

import numpy as np
import pytest

import vrl_envs.plugin
from tiny_behaviours import save_actor, save_behaviours
from vrl_core.config import from_data
from vrl_core.episodes import spread
from vrl_core.errors import VRLError
from vrl_core.ingest import write_store
from vrl_core.registry import Registry
from vrl_core.testing import check_dataset
from vrl_envs.collection import episode_streams
from vrl_envs.dmc.config import DMC, DMCDataset
from vrl_envs.qualities import belongs_to_share


def tiny(folder, **settings):
    # An action repeat of 50 makes episodes of 20 steps.
    defaults = {"size": 8, "episodes": 4, "action_repeat": 50}
    if settings.get("quality") != "random":
        defaults["behaviours"] = str(folder)
    return DMCDataset(**{**defaults, **settings})


def assert_same(first, second):
    for name, values in first.observations.items():
        np.testing.assert_array_equal(values, second.observations[name])
    np.testing.assert_array_equal(first.actions, second.actions)
    np.testing.assert_array_equal(first.rewards, second.rewards)
    assert first.info == second.info


@pytest.mark.parametrize("quality", ["random", "expert"])
def test_an_episode_depends_on_configuration_and_index_alone(tmp_path, quality):
    save_behaviours(tmp_path)
    config = tiny(tmp_path, quality=quality, observation="both")
    dataset, other = config.build(), config.build()
    episodes = [dataset[index] for index in range(3)]
    assert_same(other[2], episodes[2])
    assert_same(other[0], episodes[0])
    assert (episodes[0].actions != episodes[1].actions).any()
    another_seed = tiny(tmp_path, quality=quality, observation="both", seed=1).build()[0]
    assert (another_seed.observations["state"][0] != episodes[0].observations["state"][0]).any()


def test_episode_is_whole_and_aligned(tmp_path):
    save_behaviours(tmp_path)
    config = tiny(tmp_path, quality="medium", observation="both")
    episode = config.build()[1]
    assert len(episode) == 20
    assert episode.observations["image"].shape == (21, 8, 8, 3)
    assert episode.observations["state"].shape == (21, 24)
    assert not episode.terminations.any()
    assert episode.truncations.tolist() == [False] * 19 + [True]
    # replayed by hand: actions[t] at observations[t] earns rewards[t] and leads to t + 1
    environment = config.environment().build()
    observation, _ = environment.reset(seed=episode.info["seed"])
    for step in range(3):
        np.testing.assert_array_equal(observation["image"], episode.observations["image"][step])
        observation, reward, *_ = environment.step(episode.actions[step])
        assert np.float32(reward) == episode.rewards[step]
        np.testing.assert_array_equal(observation["state"], episode.observations["state"][step + 1])


def test_random_actions_are_uniform(tmp_path):
    dataset = tiny(tmp_path, quality="random", observation="state", action_repeat=2).build()
    actions = dataset[0].actions
    assert actions.shape == (500, 6)
    assert abs(actions.mean()) < 0.05
    assert actions.std() == pytest.approx(1 / np.sqrt(3), abs=0.03)
    assert np.abs(actions).max() <= 1


def test_medium_expert_is_half_and_half(tmp_path):
    save_behaviours(tmp_path)
    dataset = tiny(tmp_path, quality="medexp", observation="state").build()
    behaviours = [dataset[index].info["behaviour"] for index in range(4)]
    assert behaviours == ["medium", "medium", "expert", "expert"]
    assert dataset.spec.behaviour == "medium_expert"
    expert = tiny(tmp_path, quality="expert", observation="state").build()
    assert_same(dataset[3], expert[3])


def test_random_expert_is_half_and_half(tmp_path):
    save_behaviours(tmp_path)
    dataset = tiny(tmp_path, quality="random_expert", observation="state").build()
    behaviours = [dataset[index].info["behaviour"] for index in range(4)]
    assert behaviours == ["random", "random", "expert", "expert"]
    assert_same(dataset[0], tiny(tmp_path, quality="random", observation="state").build()[0])
    assert_same(dataset[3], tiny(tmp_path, quality="expert", observation="state").build()[3])


def test_a_share_of_the_episodes_is_distracted(tmp_path):
    save_behaviours(tmp_path)
    settings = {"quality": "medium_expert", "distraction": "low"}
    plain, shifted = (
        tiny(tmp_path, **{**settings, **other}).build()
        for other in ({"distraction": "none"}, {"shifted_share": 1.0})
    )
    half = tiny(tmp_path, **settings, shifted_share=0.5).build()
    episodes = [half[index] for index in range(4)]
    assert [episode.info["distraction"] for episode in episodes] == ["none", "low"] * 2
    assert [episode.info.get("background") for episode in episodes[:2]] == [None, "texture-0"]
    for index in (0, 1):
        whole = (plain, shifted)[index][index]
        np.testing.assert_array_equal(
            episodes[index].observations["image"], whole.observations["image"]
        )
        np.testing.assert_array_equal(episodes[index].actions, whole.actions)
    assert plain[0].info == {"seed": episode_streams(0, 0)[0], "behaviour": "medium"}
    assert half.spec.environment == shifted.spec.environment
    assert half.spec.environment["distraction"] == "low"
    none = tiny(tmp_path, **settings, shifted_share=0.0)
    assert none.environment() == tiny(tmp_path).environment()
    shares = {
        share: [belongs_to_share(share, i) for i in range(200)] for share in (0, 0.25, 0.1, 1)
    }
    counts = {share: sum(chosen) for share, chosen in shares.items()}
    assert counts == {0: 0, 0.25: 50, 0.1: 20, 1: 200}
    for dataset in (plain, shifted, half):
        dataset.close()


def test_replayed_episodes_are_distracted_too(tmp_path):
    save_behaviours(tmp_path)
    fresh = DMCDataset(
        quality="mixed",
        size=8,
        behaviours=str(tmp_path),
        distraction="high",
        distraction_draw="fresh",
    ).build()
    first, second = fresh[0], fresh[1]
    assert first.info["distraction"] == "high"
    assert first.info["background"] != second.info["background"]
    assert_same(fresh[0], first)
    fresh.close()


def test_variants_are_told_apart_by_their_folders():
    assert DMCDataset().variant() == ""
    assert DMCDataset(distraction="medium", shifted_share=0.25).variant() == "moderate-25percent"
    assert DMCDataset(limb="train").variant() == "limbsBCFG"
    fresh = DMCDataset(distraction="low", distraction_draw="fresh", distraction_parts="camera")
    assert fresh.variant() == "low-camera-fresh"


def test_mixed_draws_the_replay(tmp_path):
    positions = save_behaviours(tmp_path)
    config = DMCDataset(quality="medium_replay", size=16, episodes=2, behaviours=str(tmp_path))
    episode = config.build()[1]
    assert len(episode) == 4
    assert episode.info == {"replay_episode": 1, "behaviour": "mixed"}
    environment = DMC(size=16, rendering="fast").build()
    environment.reset(seed=0)
    rounded = positions[1].astype(np.float64)
    rounded[:, 3:] = positions[1, :, 3:].astype(np.float16)
    images = environment.render_positions(rounded)
    np.testing.assert_array_equal(episode.observations["image"], images)
    assert (images[0] != images[1]).any()


def test_mixed_is_the_whole_replay_or_evenly_spread_over_it(tmp_path):
    save_behaviours(tmp_path, episodes=9)
    mixed = {"quality": "mixed", "size": 8, "behaviours": str(tmp_path)}
    assert len(DMCDataset(**mixed).build()) == 9
    some = DMCDataset(**mixed, episodes=3).build()
    assert [some[index].info["replay_episode"] for index in range(3)] == [1, 4, 7]
    assert spread(9, 9) == list(range(9))
    assert spread(1, 40) == [20]


def test_default_numbers_of_episodes_are_the_papers(tmp_path):
    save_behaviours(tmp_path)
    sizes = {
        quality: len(tiny(tmp_path, quality=quality, observation="state", episodes=None).build())
        for quality in ("random", "medium_expert")
    }
    assert sizes == {"random": 200, "medium_expert": 400}
    with pytest.raises(VRLError, match="episodes is 1; it must be at least 2"):
        DMCDataset(quality="medium_expert", episodes=1)


def test_mixed_explains_its_limits(tmp_path):
    save_behaviours(tmp_path, episodes=2)
    with pytest.raises(VRLError, match=r"replay has 2\. Ask for at most 2"):
        DMCDataset(quality="mixed", episodes=3, behaviours=str(tmp_path)).build()
    with pytest.raises(VRLError, match="no state vectors"):
        tiny(tmp_path, quality="mixed", episodes=2, observation="both").build()


def test_other_behaviours_make_another_fingerprint(tmp_path):
    save_behaviours(tmp_path)
    configs = {quality: tiny(tmp_path, quality=quality) for quality in ("expert", "medium")}
    before = {quality: config.fingerprint() for quality, config in configs.items()}
    assert before["expert"]["versions"]["mujoco"] == "3.3.0"
    save_actor(tmp_path / "policies/walker_walk/expert.safetensors", 24, 6, seed=9)
    after = {quality: config.fingerprint() for quality, config in configs.items()}
    assert after["expert"] != before["expert"]
    assert after["medium"] == before["medium"]  # the expert does not act in it


def test_conformance(tmp_path):
    save_behaviours(tmp_path)
    for quality in ("medium_expert", "mixed"):
        repeat = {"action_repeat": 2} if quality == "mixed" else {}
        config = tiny(tmp_path, quality=quality, episodes=2, **repeat)
        check_dataset(config, episodes=1, spawn=False)


def test_description_leads_back_to_the_environment(tmp_path):
    save_behaviours(tmp_path)
    config = tiny(tmp_path, quality="expert", seed=7)
    spec = config.build().spec
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    assert from_data("environments", dict(spec.environment), registry) == config.environment()
    assert (spec.task, spec.behaviour, spec.seed) == ("walker_walk", "expert", 7)
    assert (spec.render_quality, spec.action_repeat, spec.action_size) == ("fast", 50, 6)
    assert spec.versions["mujoco"] == "3.3.0"
    assert spec.observations["image"].shape == (8, 8, 3)
    assert tiny(tmp_path, observation="state").build().spec.render_quality is None


def test_stores_do_not_depend_on_the_number_of_workers(tmp_path):
    save_behaviours(tmp_path)
    config = tiny(tmp_path, quality="expert", episodes=2, observation="both")
    one, two = (write_store(config, tmp_path / str(n), workers=n) for n in (1, 2))
    assert set(one.fields) >= {"observation.image", "observation.state", "action"}
    for name, values in one.fields.items():
        np.testing.assert_array_equal(values, two.fields[name])


def test_collection_and_evaluation_share_no_first_states():
    from vrl_core.evaluate import episode_seed

    collected = {episode_streams(0, index)[0] for index in range(500)}
    assert len(collected) == 500
    assert not collected & {episode_seed(0, episode) for episode in range(500)}


def test_bad_settings_are_explained(tmp_path):
    with pytest.raises(VRLError, match="Did you mean 'expert'"):
        DMCDataset(quality="exprt")
    with pytest.raises(VRLError, match="episodes is 0"):
        DMCDataset(episodes=0)
    with pytest.raises(VRLError, match="There are none"):
        tiny(tmp_path, quality="expert").build()
    save_actor(tmp_path / "policies/walker_walk/expert.safetensors", 5, 6)
    with pytest.raises(VRLError, match="takes 5 state numbers"):
        tiny(tmp_path, quality="expert").build()
