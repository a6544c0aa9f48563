"""The shared learner: its windows, its cache of encodings, and what it refuses."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace

import pytest
import torch

from vrl_core.episodes import DataSpec, FieldSpec
from vrl_core.errors import VRLError
from vrl_core.protocols import Sequences
from vrl_core.replay import Replay
from vrl_core.store import Store
from vrl_core.testing import tiny_data
from vrl_worldmodel.config import OfflineDV2Config
from vrl_worldmodel.learner import WorldModelLearner

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    folder = tmp_path_factory.mktemp("learner")
    return tiny_data(folder / "store", image_size=16, episodes=3, steps=8)


def build(model_config, spec: DataSpec, **changes) -> WorldModelLearner:
    torch.manual_seed(0)
    settings = {"model": model_config, "precision": "float32"} | changes
    return WorldModelLearner(OfflineDV2Config(**settings), spec, CPU)


def test_windows_hold_as_many_observations_as_the_sequence_is_long(categorical, store) -> None:
    model = replace(categorical, sequence_length=6, batch_size=4)
    learner = build(model, store.spec, model_steps=7)
    phase = learner.model_phase()
    assert (phase.name, phase.steps, phase.replayable) == ("model", 7, True)
    assert phase.batches == Sequences(batch_size=4, length=5, observations=("image",))
    batch = Replay(store, CPU).batch(phase.batches, 0, 0)
    assert batch.observations["image"].shape[:2] == (4, 6)


def test_cached_latents_need_no_images(categorical, store) -> None:
    cached = build(categorical, store.spec)
    assert cached.latent_sequences().observations == ()
    uncached = build(categorical, store.spec, cache_encodings=False)
    assert uncached.latent_sequences().observations == ("image",)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_cached_encodings_give_the_same_states(model_config, store, precision) -> None:
    replay, found = Replay(store, CPU), []
    for cache in (True, False):
        learner = build(model_config, store.spec, cache_encodings=cache, precision=precision)
        learner.freeze_and_cache(replay, seed=0)
        assert (learner.encodings is not None) == cache
        batch = replay.batch(learner.latent_sequences(), 5, 0)
        assert bool(batch.observations) != cache
        torch.manual_seed(1)
        found.append(learner.posterior_states(batch))
    tolerance = 1e-6 if precision == "float32" else 0.02
    torch.testing.assert_close(
        found[0].deterministic, found[1].deterministic, rtol=0, atol=tolerance
    )
    assert found[0].deterministic.shape == (3, 5, 12)
    assert not found[0].features.requires_grad


def test_cache_holds_every_row_in_the_encoders_precision(categorical, store, monkeypatch) -> None:
    monkeypatch.setattr("vrl_worldmodel.learner.CACHED_TOGETHER", 10)  # 27 rows: 10, 10 and 7
    learner = build(categorical, store.spec, precision="bfloat16")
    learner.freeze_and_cache(Replay(store, CPU), seed=0)
    assert learner.encodings is not None
    assert learner.encodings.dtype == torch.bfloat16
    images = torch.from_numpy(store.fields["observation.image"][:].copy())
    with torch.no_grad(), learner.autocast():
        expected = learner.model.encode({"image": images})
    torch.testing.assert_close(learner.encodings, expected, rtol=0.02, atol=0.02)


def test_preparing_freezes_the_model(categorical, store) -> None:
    learner = build(categorical, store.spec)
    assert all(parameter.requires_grad for parameter in learner.model.parameters())
    learner.freeze_and_cache(Replay(store, CPU), seed=0)
    assert not any(parameter.requires_grad for parameter in learner.model.parameters())


@pytest.mark.parametrize("collapsed", [False, True])
def test_a_collapsed_posterior_is_warned_of(model_config, store, collapsed) -> None:
    learner = build(model_config, store.spec)
    rssm = learner.model.rssm
    with torch.no_grad():
        rssm.posterior_output.weight.mul_(0.0 if collapsed else 20.0)
        for parameter in rssm.prior_heads.parameters():
            parameter.zero_()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        learner.freeze_and_cache(Replay(store, CPU), seed=0)
    said = [str(warning.message) for warning in caught]
    assert any("model.free_nats" in words for words in said) == collapsed


def test_looking_for_a_collapse_draws_no_random_numbers(categorical, store) -> None:
    learner = build(categorical, store.spec)
    before = torch.get_rng_state()
    learner.check_divergence(Replay(store, CPU), seed=0)
    assert torch.get_rng_state().equal(before)


def test_sequences_longer_than_every_episode_are_refused(categorical, store) -> None:
    learner = build(replace(categorical, sequence_length=10), store.spec)
    replay = Replay(store, CPU)  # episodes of 8 steps: 9 observations
    for prepare in (learner.model_phase().prepare, learner.freeze_and_cache):
        with pytest.raises(VRLError, match=r"Set model\.sequence_length to 9 or less"):
            prepare(replay, 0)
    fitting = build(replace(categorical, sequence_length=9), store.spec)
    fitting.check_data(replay, 0)
    replay.batch(fitting.model_phase().batches, 0, 0)


def test_sequences_longer_than_some_episodes_are_warned_of(categorical, store, monkeypatch) -> None:
    episodes = [(0, 8), (9, 3), (13, 8)]
    monkeypatch.setattr(Replay, "episodes", property(lambda _: episodes))
    learner = build(replace(categorical, sequence_length=5), store.spec)
    with pytest.warns(UserWarning, match=r"1 of 3 episodes have fewer than 5 observations"):
        learner.check_data(Replay(store, CPU), 0)


@pytest.mark.parametrize(
    "observations",
    [
        {"image": FieldSpec((16, 16, 3), "float32")},
        {},
    ],
)
def test_data_without_fields_to_learn_from_is_refused(categorical, spec, observations) -> None:
    with pytest.raises(VRLError, match="learns from observation fields that are images, such as"):
        build(categorical, replace(spec, observations=observations))


def test_state_holds_the_models_optimiser(categorical, spec, make_batch) -> None:
    learner = build(categorical, spec)
    learner.update_model(make_batch())
    other = build(categorical, spec)
    other.load_state_dict(copy.deepcopy(learner.state_dict()))
    torch.manual_seed(2)
    expected = learner.update_model(make_batch(seed=1))
    torch.manual_seed(2)
    assert other.update_model(make_batch(seed=1)) == expected
    assert all(
        one.equal(two)
        for one, two in zip(learner.model.parameters(), other.model.parameters(), strict=True)
    )
