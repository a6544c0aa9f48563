"""The policy follows the posterior, remembers, and treats environments alike."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch

from vrl_core.errors import VRLError
from vrl_core.observations import images_alone
from vrl_worldmodel.policy import RecurrentPolicy
from vrl_worldmodel.rssm import LatentState
from vrl_worldmodel.world_model import WorldModel

SIZE, ACTIONS, STEPS = 16, 2, 3


@pytest.fixture
def policy(model_config) -> RecurrentPolicy:
    torch.manual_seed(0)
    model = WorldModel(model_config, images_alone((SIZE, SIZE, 3)), ACTIONS)
    weight = torch.randn(model.feature_size, ACTIONS)
    return RecurrentPolicy(
        model=model,
        act_on=lambda features: torch.tanh(features @ weight),
        action_size=ACTIONS,
        latent="sample",
        device=torch.device("cpu"),
        autocast=nullcontext,
    )


def frames(environments: int = 1, seed: int = 0) -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(seed)
    shape = (STEPS, environments, SIZE, SIZE, 3)
    return [{"image": image} for image in random.integers(0, 256, shape).astype(np.uint8)]


def run(policy: RecurrentPolicy, observations: list[dict[str, np.ndarray]]) -> np.ndarray:
    state = policy.start(len(observations[0]["image"]))
    actions = []
    for observation in observations:
        action, state = policy.act(observation, state)
        actions.append(action)
    return np.stack(actions)


def test_mode_follows_the_posterior_from_zeros(policy) -> None:
    policy = replace(policy, latent="mode")
    observations = frames(2)
    rssm = policy.model.rssm
    state, action = rssm.start(2), torch.zeros(2, ACTIONS)
    expected = []
    with torch.no_grad():
        for observation in observations:
            embedding = policy.model.encode({"image": torch.from_numpy(observation["image"])})
            deterministic = rssm.advance(state, action)
            latent = rssm.posterior(deterministic, embedding)
            state = LatentState(deterministic, latent.mode())
            action = policy.act_on(state.features)
            expected.append(action.numpy())
    np.testing.assert_allclose(run(policy, observations), np.stack(expected), atol=1e-6)


def test_draws_the_latent_unless_told_otherwise(policy) -> None:
    observations = frames()
    assert not np.array_equal(
        run(policy, observations), run(replace(policy, latent="mode"), observations)
    )


def test_each_step_draws_with_other_noise(policy) -> None:
    assert not policy._noise(0).equal(policy._noise(1))
    assert policy._noise(1).equal(policy._noise(1))


def test_remembers_what_it_saw(policy) -> None:
    policy.model.rssm.posterior_output.weight.data.mul_(50)  # latents that tell frames apart
    black, white = (np.full((1, SIZE, SIZE, 3), value, np.uint8) for value in (0, 255))
    later = frames()[1:]
    whole, changed = (run(policy, [{"image": first}, *later]) for first in (black, white))
    assert not np.allclose(whole[-1], changed[-1])


def test_environments_do_not_touch_each_other(policy) -> None:
    observations = frames(3)
    together = run(policy, observations)
    alone = run(policy, [{"image": each["image"][1:2]} for each in observations])
    np.testing.assert_allclose(together[:, 1:2], alone, atol=1e-5)


def test_equal_environments_act_alike(policy) -> None:
    """The noise is shared, so a copy of an episode beside it goes the same way."""
    observations = [{"image": each["image"].repeat(2, axis=0)} for each in frames()]
    actions = run(policy, observations)
    np.testing.assert_allclose(actions[:, 0], actions[:, 1], atol=1e-6)


def test_neither_reads_nor_moves_the_global_generator(policy) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = run(policy, frames())
    assert torch.get_rng_state().equal(before)
    torch.manual_seed(2)
    assert np.array_equal(run(policy, frames()), first)


def test_actions_are_float32_within_bounds(policy) -> None:
    wild = replace(policy, act_on=lambda features: features[:, :ACTIONS].double() * 100 + 50)
    action, _ = wild.act(frames()[0], wild.start(1))
    assert action.dtype == np.float32
    assert np.abs(action).max() <= 1


@pytest.mark.parametrize(
    "observation",
    [
        {"state": np.zeros((1, 3), np.float32)},
        {"image": np.zeros((1, 8, 8, 3), np.uint8)},
        {"image": np.zeros((1, SIZE, SIZE, 3), np.float32)},
    ],
    ids=["no image", "another size", "floats"],
)
def test_other_observations_are_refused(policy, observation) -> None:
    with pytest.raises(VRLError, match=r"16, 16, 3\)"):
        policy.act(observation, policy.start(1))
