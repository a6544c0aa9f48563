import numpy as np
import pytest
import torch

from vrl_core.observations import images_alone
from vrl_core.protocols import Sequences
from vrl_core.replay import Replay
from vrl_core.testing.tiny_data import tiny_data
from vrl_worldmodel.distributions import kl_divergence
from vrl_worldmodel.penalty_config import LogProbVariance, MeanDisagreement
from vrl_worldmodel.penalty_statistics import state_values, window_values
from vrl_worldmodel.world_model import WorldModel

PENALTIES = {"mean-disagreement": MeanDisagreement().build()}


def tiny_model(config, size=16):
    """An untrained model, always with the same weights."""
    torch.manual_seed(3)
    return WorldModel(config, images_alone((size, size, 3)), 2).requires_grad_(False)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tiny_data(tmp_path_factory.mktemp("data") / "tiny", episodes=4, steps=9, image_size=16)


def batch_of(store, length=4, size=3):
    return Replay(store, torch.device("cpu")).batch(Sequences(batch_size=size, length=length), 5, 0)


def test_penalties_are_those_of_the_prediction_after_the_logged_action(model_config, store):
    model, batch = tiny_model(model_config), batch_of(store)
    torch.manual_seed(1)
    values = window_values(model, batch, PENALTIES, errors=False)
    assert list(values) == ["penalty/mean-disagreement"]
    torch.manual_seed(1)  # once more, from the model's parts
    states = model.infer(model.encode(batch.observations), batch.action).states
    priors = model.rssm.priors(states.deterministic[:, 1:])
    means = priors.probabilities if model_config.latent == "categorical" else priors.mean
    distance = (means - means.mean(0)).square()
    if model_config.latent == "categorical":
        distance = distance.sum(-1)
    expected = distance.sum(-1).sqrt().mean(0)
    assert torch.allclose(values["penalty/mean-disagreement"], expected, atol=1e-6)
    assert expected.shape == (3, 4)
    assert expected.std() > 0


def test_penalties_on_the_drawn_value_are_finite(model_config, store):
    penalties = {"log-prob-variance": LogProbVariance().build()}
    model = tiny_model(model_config)
    values = window_values(model, batch_of(store), penalties, errors=False)
    assert values["penalty/log-prob-variance"].isfinite().all()


def test_true_errors_against_a_direct_computation(model_config, store):
    model, batch = tiny_model(model_config), batch_of(store)
    torch.manual_seed(2)
    values = window_values(model, batch, {}, errors=True)
    torch.manual_seed(2)
    images = batch.observations["image"]
    observed = model.infer(model.encode(batch.observations), batch.action)
    for step in range(4):
        state = observed.states.apply(lambda part, row=step: part[:, row])
        following, prediction = model.rssm.imagine_step(state, batch.action[:, step])
        truth = images[:, step + 1].numpy() / 255
        decoded = model.decode(following.features).clamp(0, 1).numpy()
        pixel = ((decoded - truth) ** 2).mean((1, 2, 3))
        assert values["pixel_error"][:, step].numpy() == pytest.approx(pixel, rel=1e-4)
        kind = type(observed.posterior)
        posterior = observed.posterior.apply(lambda part, row=step: part[:, row + 1])
        if prediction.kind == "categorical":
            members = [kind(logits) for logits in prediction.logits]
        else:
            members = [kind(*each) for each in zip(prediction.mean, prediction.std, strict=True)]
        each = [kl_divergence(posterior, member).numpy() for member in members]
        found = values["divergence"][:, step].numpy()
        assert found == pytest.approx(np.mean(each, axis=0), rel=1e-4, abs=1e-6)


def test_as_many_states_as_asked_spread_over_windows_and_the_same_again(gaussian, store):
    model = tiny_model(gaussian)

    def values(**changes):
        torch.manual_seed(0)
        return state_values(model, store, PENALTIES, **{"states": 40, "seed": 1, **changes})

    first = values()
    assert first.penalties["mean-disagreement"].shape == (40,)
    assert first.pixel_error is first.divergence is None
    assert len(set(first.window.tolist())) > 20
    assert first.penalties["mean-disagreement"] == pytest.approx(
        values().penalties["mean-disagreement"]
    )
    other = values(seed=2).penalties["mean-disagreement"]
    assert not np.allclose(first.penalties["mean-disagreement"], other)
    many = values(states=500, errors=True)  # more than 64 windows of 4 hold
    assert many.pixel_error is not None
    assert many.divergence is not None
    assert many.pixel_error.shape == many.divergence.shape == many.window.shape == (500,)


def test_windows_are_cut_to_the_longest_episode(gaussian, tmp_path):
    short = tiny_data(tmp_path / "short", episodes=2, steps=2, image_size=16)
    model = tiny_model(gaussian)
    values = state_values(model, short, PENALTIES, states=6)
    assert values.penalties["mean-disagreement"].shape == (6,)


def test_pixel_error_grows_with_the_distance_between_model_and_frames(gaussian, store):
    model, batch = tiny_model(gaussian), batch_of(store)
    with torch.no_grad():
        last = list(model.decoder.parameters())[-1]  # the bias of the image's colours
        last.fill_(10.0)  # all white
    values = window_values(model, batch, {}, errors=True)
    white = (1 - batch.observations["image"][:, 1:].float() / 255).square().mean((-3, -2, -1))
    assert torch.allclose(values["pixel_error"], white, atol=1e-5)
