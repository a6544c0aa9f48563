"""World models of images with vectors, of several cameras, and of vectors alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vrl_core.episodes import DataSpec, FieldSpec
from vrl_core.errors import VRLError
from vrl_core.observations import ObservationFields, images_alone
from vrl_core.protocols import SequenceBatch
from vrl_core.registry import Registry
from vrl_core.replay import Replay
from vrl_core.run_config import RunConfig
from vrl_core.store_config import StoreDataset
from vrl_core.testing import check_algorithm
from vrl_core.testing.tiny_data import tiny_data
from vrl_core.train import prepare_phase, train
from vrl_worldmodel.config import LOMPOConfig, OfflineDV2Config
from vrl_worldmodel.encoder import normalise
from vrl_worldmodel.open_loop import draw_clips, roll_out
from vrl_worldmodel.world_model import WorldModel, image_loss, vector_loss

CPU = torch.device("cpu")
SIZE = 16
SHAPE = (SIZE, SIZE, 3)
STATE = FieldSpec((4,), "float32")
IMAGE = FieldSpec(SHAPE, "uint8")
BOTH = ObservationFields(cameras={"image": SHAPE}, vectors={"state": 4})
SEES = {
    "image and state": {"image_size": SIZE, "state_size": 4},
    "two cameras": {"image_size": SIZE, "cameras": ("image", "wrist")},
    "state": {"image_size": None, "state_size": 4},
}
SMALL = {"actor_layers": (8,), "critic_layers": (8,), "precision": "float32"}


@pytest.fixture
def observe(make_batch):
    """Give batches of image windows a second camera and a state."""

    def make(seed: int = 0) -> SequenceBatch:
        batch = make_batch(seed=seed)
        generator = torch.Generator().manual_seed(seed + 1)
        images = batch.observations["image"]
        more = {
            "state": torch.randn(*images.shape[:2], 4, generator=generator),
            "wrist": torch.randint(0, 256, images.shape, dtype=torch.uint8, generator=generator),
        }
        return replace(batch, observations=batch.observations | more)

    return make


def build(config, fields=BOTH, seed: int = 0) -> WorldModel:
    torch.manual_seed(seed)
    return WorldModel(replace(config, vector_layers=(9, 7)), fields, 2)


def spec_of(**observations: FieldSpec) -> DataSpec:
    return DataSpec(task="t", observations=observations, action_size=2, behaviour="random")


@pytest.mark.parametrize("sees", SEES)
def test_offline_dv2_conforms(sees, categorical) -> None:
    model = replace(categorical, vector_layers=(6,))
    config = OfflineDV2Config(model=model, target_interval=2, **SMALL)
    check_algorithm(config, updates=2, steps=8, **SEES[sees])


@pytest.mark.parametrize("sees", SEES)
def test_lompo_conforms(sees, gaussian) -> None:
    config = LOMPOConfig(
        model=replace(gaussian, vector_layers=(6,)),
        imagination_horizon=3,
        first_imagined=50,
        imagine_every=2,
        batch_size=8,
        cache_encodings=sees != "two cameras",
        **SMALL | {"precision": "bfloat16" if sees == "image and state" else "float32"},
    )
    check_algorithm(config, updates=2, steps=8, **SEES[sees])


def test_vector_loss_against_numbers_worked_by_hand() -> None:
    predicted = torch.tensor([[[1.0, 0.0], [2.0, 2.0]]])
    target = torch.tensor([[[0.0, 2.0], [2.0, 5.0]]])
    # (1 + 4) / 2 and 9 / 2, on average.
    assert vector_loss(predicted, target).item() == pytest.approx(3.5)


def test_the_loss_is_the_sum_of_its_parts(model_config, observe) -> None:
    fields = ObservationFields(cameras={"image": SHAPE, "wrist": SHAPE}, vectors={"state": 4})
    model, batch = build(model_config, fields), observe()
    model.vectors.mean.fill_(0.5)
    model.vectors.deviation.fill_(2.0)
    torch.manual_seed(1)
    loss, metrics = model.loss(batch)
    torch.manual_seed(1)
    features = model.infer(model.encode(batch.observations), batch.action).states.features
    images = sum(
        image_loss(decoder(features), batch.observations[name])
        for name, decoder in zip(fields.cameras, model.decoder.cameras, strict=True)
    )
    standard = (batch.observations["state"] - 0.5) / 2.0
    vectors = 0.5 * (model.decoder.vectors(features) - standard).square().sum(-1).mean()
    torch.testing.assert_close(metrics["image_loss"], images.detach())
    torch.testing.assert_close(metrics["vector_loss"], vectors.detach())
    rest = metrics["loss"] - images - vectors - metrics["reward_loss"]
    free, kl = model_config.free_nats, metrics["kl"]
    torch.testing.assert_close(rest, kl.clamp(min=free), atol=1e-3, rtol=1e-5)
    loss.backward()
    assert all(value.grad is not None for value in model.parameters())


def test_without_the_states_weights_it_is_the_model_of_the_image(model_config, observe) -> None:
    joint = build(model_config)
    alone = build(model_config, images_alone(SHAPE), seed=1)
    images = alone.encoder.features
    assert joint.encoder.features == images + 7
    weights = {}
    for name, value in joint.state_dict().items():
        new = name.replace("coder.cameras.0.", "coder.")
        wanted = alone.state_dict().get(new)
        if wanted is not None and wanted.shape != value.shape:  # what reads the embedding
            with torch.no_grad():
                value[..., -7:] = 0.0
            value = value[..., :-7]
        weights[new] = value
    alone.load_state_dict({name: weights[name] for name in alone.state_dict()})
    batch = observe()
    results = []
    for model in (joint, alone):
        torch.manual_seed(2)
        results.append(model.loss(batch)[1])
    both, image = results
    for name, value in image.items():
        if name != "loss":
            torch.testing.assert_close(both[name], value)
    torch.testing.assert_close(both["loss"] - both["vector_loss"], image["loss"])


def test_the_image_alone_keeps_its_names_and_numbers(categorical) -> None:
    config = OfflineDV2Config(model=categorical, observations=("image",), **SMALL)
    states = []
    for spec in (spec_of(image=IMAGE), spec_of(state=STATE, image=IMAGE)):
        torch.manual_seed(0)
        learner = config.build(spec, CPU)
        states.append(learner.model.state_dict())
        assert learner.policy().observations == ("image",)
    assert "encoder.convolutions.0.weight" in states[0]
    assert "decoder.convolutions.0.weight" in states[0]
    assert list(states[0]) == list(states[1])
    assert all(value.equal(states[1][name]) for name, value in states[0].items())
    with pytest.raises(VRLError, match="holds no network on image, state"):
        replace(config, observations=None).build(spec, CPU).load_state_dict(learner.state_dict())


@pytest.mark.parametrize("size", [64, 96, 128])
def test_larger_images_are_encoded_and_decoded(size, gaussian) -> None:
    shape = (size, size, 3)
    fields = ObservationFields(cameras={"image": shape}, vectors={"state": 4})
    model = build(replace(gaussian, channels=(2, 2, 2, 2)), fields)
    images = torch.randint(0, 256, (1, 2, *shape), dtype=torch.uint8)
    embedding = model.encode({"image": images, "state": torch.zeros(1, 2, 4)})
    assert embedding.shape == (1, 2, model.encoder.features)
    features = model.infer(embedding, torch.zeros(1, 1, 2)).states.features
    decoded = model.decode(features)
    assert decoded.shape == images.shape
    torch.testing.assert_close(
        image_loss(decoded - 0.5, images),
        0.5 * (decoded - 0.5 - normalise(images)).square().sum() / 2,
    )


def test_cached_encodings_are_those_of_all_fields_on_the_datas_scale(gaussian, tmp_path) -> None:
    store = tiny_data(tmp_path / "s", image_size=SIZE, state_size=4, steps=8)
    model = replace(gaussian, free_nats=1.0)
    learner = LOMPOConfig(model=model, first_imagined=50, **SMALL).build(store.spec, CPU)
    replay = Replay(store, CPU)
    phase, _ = learner.phases
    assert phase.batches.observations == ("image", "state")
    prepare_phase(phase, replay, 0)
    states = np.array(store.fields["observation.state"])
    np.testing.assert_allclose(learner.model.vectors.mean, states.mean(0), rtol=1e-5)
    learner.freeze_and_cache(replay, 0)
    batch = replay.batch(phase.batches, 0, 0)
    cached = learner._embeddings(batch)
    torch.testing.assert_close(cached, learner.model.encode(batch.observations))


def test_the_posterior_tells_what_the_state_alone_shows(gaussian, observe) -> None:
    model, batch = build(gaussian), observe()
    changed = batch.observations | {"state": batch.observations["state"] + 1.0}
    first, second = (
        model.infer(model.encode(each), batch.action, noise).posterior.mean
        for noise in [torch.zeros(3, 5, 5)]
        for each in (batch.observations, changed)
    )
    assert not torch.equal(first, second)


def test_logged_rollouts_start_from_the_inferred_states_of_all_fields(gaussian, tmp_path) -> None:
    store = tiny_data(tmp_path / "s", image_size=SIZE, state_size=4, steps=8)
    learner = LOMPOConfig(model=gaussian, **SMALL).build(store.spec, CPU)
    rollouts = learner.rollout_model()
    assert rollouts.fields == ("image", "state")
    episode = store[1]
    observations = {
        name: torch.from_numpy(np.array(episode.observations[name])) for name in rollouts.fields
    }
    action = torch.from_numpy(np.array(episode.actions))
    torch.manual_seed(0)
    states = rollouts.start(observations, action)
    torch.manual_seed(0)
    embedding = learner.model.encode(observations)
    expected = learner.model.infer(embedding[None], action[None]).states
    torch.testing.assert_close(states.features, expected.features[0])
    following, prediction = rollouts.step(states.apply(lambda part: part[:8]), action)
    assert following.features.shape == (8, learner.model.feature_size)
    assert prediction.mean.shape[0] == gaussian.members


def test_a_model_without_images_draws_none(gaussian, tmp_path) -> None:
    store = tiny_data(tmp_path / "s", image_size=None, state_size=4, steps=8)
    model = build(gaussian, ObservationFields(cameras={}, vectors={"state": 4}))
    clips = draw_clips(store, episodes=2, context=2, horizon=3)
    with pytest.raises(VRLError, match="has no images, only state"):
        next(roll_out(model, store, clips, 2))


def test_a_model_runs_fields_are_the_users(categorical, tmp_path) -> None:
    store = tiny_data(tmp_path / "s", image_size=SIZE, state_size=4, steps=8)
    config = OfflineDV2Config(model=categorical, model_steps=1, steps=1, **SMALL)
    run = RunConfig(
        algorithm=replace(config, observations=("image",)),
        dataset=StoreDataset(path=Path(store.path)),
        evaluation_episodes=0,
    )
    train(run, registry=Registry(), folder=tmp_path / "run")
    user = replace(config, model_run=tmp_path / "run")
    learner = replace(user, observations=("image",)).build(store.spec, CPU)
    assert learner.fields == images_alone(SHAPE)
    with pytest.raises(
        VRLError, match=r"the observations \(--observations\) is image there and image, state here"
    ):
        user.build(store.spec, CPU)
