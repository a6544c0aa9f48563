"""Images with vectors, several cameras, and vectors alone."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from vrl_core.episodes import DataSpec, FieldSpec
from vrl_core.errors import VRLError
from vrl_core.protocols import TransitionBatch
from vrl_core.replay import Replay
from vrl_core.testing import check_algorithm
from vrl_core.testing.tiny_data import tiny_data
from vrl_core.train import prepare_phase
from vrl_modelfree.config import BCConfig, CQLConfig, DrQBCConfig

CPU = torch.device("cpu")
SIZE = 16
CAMERAS = ("image", "wrist")
IMAGE = FieldSpec((SIZE, SIZE, 3), "uint8")
STATE = FieldSpec((4,), "float32")
SEES = {
    "image and state": {"image_size": SIZE, "state_size": 4},
    "two cameras": {"image_size": SIZE, "cameras": CAMERAS},
    "state": {"image_size": None, "state_size": 4},
}


def spec_of(**observations: FieldSpec) -> DataSpec:
    return DataSpec(task="walker_walk", observations=observations, action_size=1)


def learner_of(small, spec, seed: int = 0, **changes):
    torch.manual_seed(seed)
    return BCConfig(**(small | {"shift_padding": 0} | changes)).build(spec, CPU)


@pytest.mark.parametrize("sees", SEES)
@pytest.mark.parametrize("algorithm", [BCConfig, DrQBCConfig, CQLConfig])
def test_algorithm_conforms(algorithm, sees, small) -> None:
    precision = "bfloat16" if sees == "image and state" else "float32"
    settings = small | {"precision": precision}
    if algorithm is CQLConfig:
        settings["trade_off"] = 1.0
    check_algorithm(algorithm(**settings), updates=2, steps=8, **SEES[sees])


def test_weights_of_images_alone_have_the_names_they_always_had(small) -> None:
    both = spec_of(image=IMAGE, state=STATE)
    alone = learner_of(small, both, observations=("image",))
    plain = learner_of(small, spec_of(image=IMAGE))
    state, expected = (each.state_dict() for each in (alone, plain))
    names = ["convolutions.0.weight", "convolutions.0.bias"]
    names += ["convolutions.2.weight", "convolutions.2.bias"]
    assert list(state["networks"]["encoder"]) == names
    for network, weights in expected["networks"].items():
        for name, value in weights.items():
            assert torch.equal(state["networks"][network][name], value)
    assert alone.phases[0].prepare is None


def test_without_the_states_weights_actions_are_those_of_the_image(small) -> None:
    joint = learner_of(small, spec_of(image=IMAGE, state=STATE))
    alone = learner_of(small, spec_of(image=IMAGE), seed=1)
    alone.encoder.network.load_state_dict(joint.encoder.cameras[0].state_dict())
    weights = dict(joint.actor.state_dict())
    image_features = alone.encoder.features
    assert joint.encoder.features == image_features + 4
    with torch.no_grad():
        joint.actor.trunk.linear.weight[:, image_features:] = 0.0
    weights["trunk.linear.weight"] = weights["trunk.linear.weight"][:, :image_features]
    alone.actor.load_state_dict(weights)
    images = torch.randint(0, 256, (5, 3, SIZE, SIZE, 3), dtype=torch.uint8)
    observation = {"image": images, "state": torch.randn(5, 4)}
    actions = joint.mean_action(observation)
    torch.testing.assert_close(actions, alone.mean_action({"image": images}))


def test_features_are_each_cameras_and_then_the_standardised_vectors(small) -> None:
    small_image = FieldSpec((12, 14, 3), "uint8")
    learner = learner_of(small, spec_of(wrist=small_image, image=IMAGE, state=STATE))
    with torch.no_grad():
        learner.encoder.vectors.mean.fill_(1.0)
        learner.encoder.vectors.deviation.fill_(2.0)
    observation = {
        "image": torch.randint(0, 256, (2, 3, SIZE, SIZE, 3), dtype=torch.uint8),
        "wrist": torch.randint(0, 256, (2, 3, 12, 14, 3), dtype=torch.uint8),
        "state": torch.tensor([[1.0, 3.0, 5.0, -1.0]]).expand(2, 4),
    }
    first, second = learner.encoder.cameras
    features = learner.encode(observation)
    expected = (first(observation["image"]), second(observation["wrist"]))
    torch.testing.assert_close(features[:, :-4], torch.cat(expected, 1))
    assert features[:, -4:].tolist() == [[0.0, 1.0, 2.0, -1.0]] * 2


def test_each_camera_is_shifted_by_itself(small) -> None:
    learner = learner_of(small, spec_of(image=IMAGE, wrist=IMAGE), shift_padding=3)
    seen = {}
    learner.encode_unshifted = seen.update
    images = torch.randint(0, 256, (8, 3, SIZE, SIZE, 3), dtype=torch.uint8)
    learner.encode({"image": images, "wrist": images})
    assert not torch.equal(seen["image"], seen["wrist"])
    assert seen["image"].shape == seen["wrist"].shape == images.shape


def test_standardisation_is_the_datas_and_saved_with_the_policy(small, tmp_path) -> None:
    store = tiny_data(tmp_path / "s", image_size=None, state_size=3, steps=6)
    learner = learner_of(small, store.spec)
    (phase,) = learner.phases
    prepare_phase(phase, Replay(store, CPU), 0)
    states = np.array(store.fields["observation.state"])
    np.testing.assert_allclose(learner.encoder.vectors.mean, states.mean(0), rtol=1e-5)
    restored = learner_of(small, store.spec, seed=1)
    restored.load_state_dict(learner.state_dict())
    shown = {"state": states[:3]}
    actions = [each.policy().act(shown, each.policy().start(3))[0] for each in (learner, restored)]
    assert np.array_equal(*actions)
    assert "encoder" not in learner.optimisers  # nothing in it learns


def test_weights_of_other_fields_are_refused_with_the_way_out(small) -> None:
    spec = spec_of(image=IMAGE, state=STATE)
    early = learner_of(small, spec, observations=("image",)).state_dict()
    with pytest.raises(VRLError, match=r"no network on image, state.*`observations: \[image\]`"):
        learner_of(small, spec).load_state_dict(early)


def test_a_policy_reads_its_fields_alone(small) -> None:
    spec = spec_of(image=IMAGE, wrist=IMAGE, state=STATE)
    policy = learner_of(small, spec, observations=("wrist", "state")).policy()
    assert policy.observations == ("wrist", "state")
    shown = {"wrist": np.zeros((2, SIZE, SIZE, 3), np.uint8), "state": np.zeros((2, 4))}
    action, memory = policy.act(shown, policy.start(2))
    assert action.shape == (2, 1)
    assert list(memory.frames) == ["wrist"]
    with pytest.raises(VRLError, match="expects a field 'state'"):
        policy.act({"wrist": shown["wrist"]}, policy.start(2))


@pytest.mark.parametrize("telling", ["state", "wrist"])
def test_cloning_learns_an_action_that_one_field_alone_tells(telling, small) -> None:
    spec = spec_of(**{"image": IMAGE, telling: STATE if telling == "state" else IMAGE})
    settings = {"noise_start": 0.0, "noise_end": 0.0, "learning_rate": 3e-3, "frame_stack": 1}
    learner = learner_of(small, spec, **settings)
    blind = learner_of(small, spec, observations=("image",), **settings)
    errors = {}
    for name, each in (("with", learner), ("without", blind)):
        batches = (telling_batch(telling, seed) for seed in itertools.count())
        for batch in itertools.islice(batches, 150):
            each.update(batch)
        held_out = telling_batch(telling, 10_000)
        difference = each.mean_action(held_out.observation) - held_out.action
        errors[name] = float(difference.detach().square().mean())
    assert errors["with"] < 0.02
    assert errors["without"] > 0.2  # the actions' own variance is 0.25


def telling_batch(telling: str, seed: int) -> TransitionBatch:
    """Random pictures; the action, 1/2 or -1/2, is in the state or the wrist's brightness."""
    generator = torch.Generator().manual_seed(seed)
    sign = torch.randint(0, 2, (64,), generator=generator)
    shape = (64, 1, SIZE, SIZE, 3)
    observation = {
        "image": torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator),
        "state": torch.randn(64, 4, generator=generator),
        "wrist": torch.randint(0, 100, shape, dtype=torch.uint8, generator=generator),
    }
    observation["state"][:, 2] = 2.0 * sign - 1.0
    observation["wrist"] += (155 * sign.to(torch.uint8)).view(64, 1, 1, 1, 1)
    shown = {name: observation[name] for name in ("image", telling)}
    zeros = torch.zeros(64)
    return TransitionBatch(shown, (sign - 0.5)[:, None], zeros, zeros, shown)


def test_an_unknown_field_is_refused(small) -> None:
    config = BCConfig(**small)
    with pytest.raises(VRLError, match="no observation field named 'sate'"):
        replace(config, observations=("sate",)).build(spec_of(image=IMAGE, state=STATE), CPU)
