"""The recurrence against NumPy, the fused scan against a plain loop, and the ensemble."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vrl_core.errors import VRLError
from vrl_worldmodel.config import WorldModelConfig
from vrl_worldmodel.distributions import CategoricalLatent, GaussianLatent, Latent
from vrl_worldmodel.heads import Head, dense
from vrl_worldmodel.recurrence import NormalisedGRU, PlainGRU, recurrence
from vrl_worldmodel.rssm import RSSM, LatentState

BATCH, TIME, ACTION, EMBEDDING, MEMBERS = 3, 5, 2, 7, 4
KINDS = [("categorical", "normalised-gru"), ("gaussian", "gru")]


@pytest.fixture(params=KINDS, ids=[kind for kind, _ in KINDS])
def rssm(request: pytest.FixtureRequest) -> RSSM:
    torch.manual_seed(0)
    latent, recurrence_name = request.param
    config = WorldModelConfig(
        latent=latent,
        recurrence=recurrence_name,
        deterministic_size=6,
        stochastic_size=4,
        classes=3,
        hidden_size=8,
        members=MEMBERS,
    )
    model = RSSM(config, ACTION, EMBEDDING).double()
    for parameter in model.parameters():  # biases and gains count, too
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def random_state(rssm: RSSM, *shape: int) -> LatentState:
    return LatentState(
        torch.randn(*shape, rssm.deterministic_size, dtype=torch.float64),
        torch.randn(*shape, rssm.stochastic_size, dtype=torch.float64),
    )


def random_window(batch: int = BATCH, time: int = TIME) -> tuple[Tensor, Tensor]:
    return (
        torch.randn(batch, time, EMBEDDING, dtype=torch.float64),
        torch.randn(batch, time, ACTION, dtype=torch.float64),
    )


def assert_same(first: Latent, second: Latent) -> None:
    assert type(first) is type(second)
    for name, value in vars(first).items():
        torch.testing.assert_close(value, getattr(second, name))


def sigmoid(value: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-value))


def test_normalised_gru_against_numpy() -> None:
    unit = NormalisedGRU(3, 4)
    unit.normalisation.weight.data.uniform_(0.5, 1.5)
    unit.normalisation.bias.data.normal_()
    value, state = torch.randn(5, 3), torch.randn(5, 4)
    joint = np.concatenate([value.numpy(), state.numpy()], -1) @ unit.gates.weight.data.numpy().T
    centred = joint - joint.mean(-1, keepdims=True)
    joint = centred / np.sqrt(joint.var(-1, keepdims=True) + 1e-3)
    joint = joint * unit.normalisation.weight.data.numpy() + unit.normalisation.bias.data.numpy()
    reset, candidate, update = joint[:, :4], joint[:, 4:8], joint[:, 8:]
    candidate, update = np.tanh(sigmoid(reset) * candidate), sigmoid(update - 1.0)
    expected = update * candidate + (1.0 - update) * state.numpy()
    np.testing.assert_allclose(unit(value, state).detach().numpy(), expected, atol=1e-5)


def test_plain_gru_is_torchs() -> None:
    unit, cell = PlainGRU(3, 4), nn.GRUCell(3, 4)
    for mine, theirs in (
        (unit.from_input.weight, cell.weight_ih),
        (unit.from_input.bias, cell.bias_ih),
        (unit.from_state.weight, cell.weight_hh),
        (unit.from_state.bias, cell.bias_hh),
    ):
        mine.data.copy_(theirs)
    value, state = torch.randn(5, 3), torch.randn(5, 4)
    torch.testing.assert_close(unit(value, state), cell(value, state))


def test_an_unknown_recurrence_is_refused() -> None:
    with pytest.raises(VRLError, match=r"Did you mean 'gru'\?"):
        recurrence("gro", 3, 4)


def test_scan_is_a_loop_over_steps(rssm: RSSM) -> None:
    embedding, action = random_window()
    noise = rssm.draw_noise(BATCH, TIME)
    start = random_state(rssm, BATCH)
    observed = rssm.observe(embedding, action, start, noise)
    state = start
    for step in range(TIME):
        state, posterior = rssm.observe_step(
            state, action[:, step], embedding[:, step], noise[:, step]
        )
        torch.testing.assert_close(observed.states.features[:, step], state.features)
        assert_same(observed.posterior.apply(lambda value, t=step: value[:, t]), posterior)


def test_step_is_advance_then_posterior_of_joint_layers(rssm: RSSM) -> None:
    state, (embedding, action) = random_state(rssm, BATCH), random_window()
    deterministic = rssm.advance(state, action[:, 0])
    weight = torch.cat([rssm.from_stochastic.weight, rssm.from_action.weight], dim=1)
    joint = torch.cat([state.stochastic, action[:, 0]], dim=1) @ weight.T + rssm.from_action.bias
    torch.testing.assert_close(
        deterministic, rssm.recurrence(nn.functional.elu(joint), state.deterministic)
    )
    weight = torch.cat([rssm.from_deterministic.weight, rssm.from_embedding.weight], dim=1)
    joint = torch.cat([deterministic, embedding[:, 0]], dim=1) @ weight.T
    output = rssm.posterior_output(nn.functional.elu(joint + rssm.from_embedding.bias))
    posterior = rssm.posterior(deterministic, embedding[:, 0])
    if isinstance(posterior, GaussianLatent):
        torch.testing.assert_close(posterior.mean, output[:, :4])
        torch.testing.assert_close(posterior.std, nn.functional.softplus(output[:, 4:]) + 0.1)
    else:
        torch.testing.assert_close(posterior.logits, output.reshape(BATCH, 4, 3))


def test_start_is_zero_and_the_default(rssm: RSSM) -> None:
    embedding, action = random_window()
    noise = rssm.draw_noise(BATCH, TIME)
    start = rssm.start(BATCH)
    assert (start.features == 0).all()
    assert start.features.shape == (BATCH, rssm.feature_size)
    given = rssm.observe(embedding, action, start, noise)
    assert torch.equal(
        given.states.features, rssm.observe(embedding, action, noise=noise).states.features
    )


def test_state_does_not_see_the_future(rssm: RSSM) -> None:
    (embedding, action), (other_embedding, other_action) = random_window(), random_window()
    noise = rssm.draw_noise(BATCH, TIME)
    other_embedding[:, :2], other_action[:, :2] = embedding[:, :2], action[:, :2]
    first = rssm.observe(embedding, action, noise=noise).states.features
    second = rssm.observe(other_embedding, other_action, noise=noise).states.features
    assert torch.equal(first[:, :2], second[:, :2])
    assert (first[:, 2] != second[:, 2]).any(-1).all()


def test_one_member_is_its_row_of_all(rssm: RSSM) -> None:
    deterministic = torch.randn(TIME, BATCH, 6, dtype=torch.float64)
    every = rssm.priors(deterministic)
    for member in range(MEMBERS):
        alone = rssm.prior(deterministic, torch.tensor([member]))
        assert_same(alone, every.apply(lambda value, k=member: value[k]))
    drawn = torch.tensor([2, 0, 2, 3, 1])
    per_step = rssm.prior(deterministic, drawn)
    assert_same(per_step, every.apply(lambda value: value[drawn, torch.arange(TIME)]))


def test_members_differ_and_are_plain_networks(rssm: RSSM) -> None:
    deterministic = torch.randn(BATCH, 6, dtype=torch.float64)
    hidden, output = rssm.prior_heads.hidden, rssm.prior_heads.output
    outputs = rssm.prior_heads(deterministic)
    for member in range(MEMBERS):
        value = nn.functional.elu(deterministic @ hidden.weight[member] + hidden.bias[member])
        expected = value @ output.weight[member] + output.bias[member]
        torch.testing.assert_close(outputs[member], expected)
    assert (outputs.std(0) > 1e-3).all()


def test_imagined_step_is_drawn_from_its_member(rssm: RSSM) -> None:
    state, action = random_state(rssm, TIME, BATCH), torch.randn(TIME, BATCH, ACTION).double()
    member, noise = torch.tensor(2), rssm.draw_noise(TIME, BATCH)
    following, prediction = rssm.imagine_step(state, action, member, noise)
    torch.testing.assert_close(following.deterministic, rssm.advance(state, action))
    prior = rssm.prior(following.deterministic, member)
    torch.testing.assert_close(following.stochastic, prior.sample(noise))
    assert torch.equal(prediction.sample.reshape(TIME, BATCH, -1), following.stochastic)
    assert prediction.member.shape == (TIME, BATCH)
    assert (prediction.member == 2).all()
    every = rssm.priors(following.deterministic)
    if isinstance(every, CategoricalLatent):
        assert prediction.kind == "categorical"
        assert prediction.sample.shape == (TIME, BATCH, 4, 3)
        torch.testing.assert_close(prediction.logits, every.logits)
    else:
        assert prediction.kind == "gaussian"
        assert prediction.sample.shape == (TIME, BATCH, 4)
        torch.testing.assert_close(prediction.mean, every.mean)
        torch.testing.assert_close(prediction.std, every.std)


def test_imagination_draws_one_member_for_the_whole_batch(rssm: RSSM) -> None:
    state, action = random_state(rssm, 8), torch.randn(8, ACTION, dtype=torch.float64)
    torch.manual_seed(0)
    drawn = [rssm.imagine_step(state, action)[1].member for _ in range(40)]
    assert all((members == members[0]).all() for members in drawn)
    assert {int(members[0]) for members in drawn} == set(range(MEMBERS))


def test_predict_judges_a_state_as_the_step_into_it_did(rssm: RSSM) -> None:
    state, prediction = rssm.imagine_step(
        random_state(rssm, BATCH), torch.randn(BATCH, ACTION, dtype=torch.float64)
    )
    again = rssm.predict(state)
    assert (again.member == 0).all()
    for name in ("kind", "sample", "logits", "mean", "std"):
        first, second = getattr(prediction, name), getattr(again, name)
        if isinstance(first, Tensor):
            torch.testing.assert_close(first, second)
        else:
            assert first == second


def test_imagined_gradient_reaches_the_action(rssm: RSSM) -> None:
    rssm.requires_grad_(False)
    action = torch.randn(BATCH, ACTION, dtype=torch.float64, requires_grad=True)
    following, _ = rssm.imagine_step(random_state(rssm, BATCH), action)
    following, prediction = rssm.imagine_step(following, torch.zeros_like(action))
    value = prediction.logits if prediction.kind == "categorical" else prediction.mean
    (gradient,) = torch.autograd.grad(value.square().sum(), action)
    assert (gradient != 0).all()


def test_states_change_shape_together(rssm: RSSM) -> None:
    state = random_state(rssm, BATCH, TIME)
    flat = state.flatten()
    assert flat.features.shape == (BATCH * TIME, rssm.feature_size)
    assert torch.equal(flat.features[TIME], state.features[1, 0])
    assert torch.equal(state.features[..., : rssm.stochastic_size], state.stochastic)
    state.stochastic.requires_grad_()
    assert state.features.requires_grad
    assert not state.detach().features.requires_grad


@pytest.mark.parametrize("kind", ["categorical", "gaussian"])
def test_bfloat16_leaves_distributions_and_states_in_float32(kind: str) -> None:
    torch.manual_seed(0)
    model = RSSM(WorldModelConfig(latent=kind, members=2), ACTION, EMBEDDING)
    embedding, action = (value.float() for value in random_window())
    noise = model.draw_noise(BATCH, TIME)
    exact = model.observe(embedding, action, noise=noise)
    with torch.autocast("cpu", torch.bfloat16):
        observed = model.observe(embedding, action, noise=noise)
        _, prediction = model.imagine_step(observed.states, action)
    tensors = [*vars(observed.states).values(), *vars(observed.posterior).values()]
    tensors += [value for value in (prediction.logits, prediction.std) if value is not None]
    assert {value.dtype for value in tensors} == {torch.float32}
    first = exact.posterior.apply(lambda value: value[:, 0])
    rounded = observed.posterior.apply(lambda value: value[:, 0])
    for name, value in vars(first).items():
        torch.testing.assert_close(getattr(rounded, name), value, atol=0.05, rtol=0.05)


def test_dense_layers_start_as_in_keras() -> None:
    network = dense([30, 50, 4])
    assert [type(layer) for layer in network] == [nn.Linear, nn.ELU, nn.Linear]
    bound = (6.0 / 80.0) ** 0.5
    assert 0.95 * bound < network[0].weight.abs().max() <= bound
    assert (network[0].bias == 0).all()


def test_split_layers_start_as_one_layer() -> None:
    model = RSSM(WorldModelConfig(hidden_size=300), ACTION, EMBEDDING)
    bound = (6.0 / (200 + EMBEDDING + 300)) ** 0.5
    for part in (model.from_deterministic, model.from_embedding):
        assert 0.95 * bound < part.weight.abs().max() <= bound
    assert (model.from_embedding.bias == 0).all()
    bound = (6.0 / (200 + 200)) ** 0.5
    weights = model.prior_heads.hidden.weight.abs().amax((1, 2))
    assert ((weights > 0.0) & (weights <= (6.0 / (200 + 300)) ** 0.5)).all()


def test_head_predicts_one_number_per_row() -> None:
    head = Head(6, (8, 8))
    features = torch.randn(3, 5, 6)
    assert head(features).shape == (3, 5)
    torch.testing.assert_close(head(features)[1, 2], head.layers(features[1, 2])[0])


def test_a_head_answers_in_float32_under_autocast() -> None:
    torch.manual_seed(0)
    head = Head(6, (8,))
    head.layers[-1].bias.data.fill_(100.1)  # 100 in bfloat16
    head.layers[-1].weight.data.zero_()
    with torch.autocast("cpu", torch.bfloat16):
        value = head(torch.randn(3, 6))
    assert value.tolist() == pytest.approx([100.1] * 3)
