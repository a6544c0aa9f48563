"""LOMPO's imagined rewards, its mixture of transitions, and what an update changes."""

from dataclasses import replace

import pytest
import torch

from vrl_core.errors import VRLError
from vrl_core.protocols import EnsemblePrediction
from vrl_core.replay import Replay
from vrl_core.testing import tiny_data
from vrl_core.train import prepare_phase, refresh_phase
from vrl_worldmodel.config import LMBRLConfig, LOMPOConfig, OfflineSLACConfig
from vrl_worldmodel.lompo import LOMPO, ensemble_reward, sample_members
from vrl_worldmodel.penalty_config import LogProbStd, LogProbVariance, MaxDisagreement, NoPenalty
from vrl_worldmodel.rssm import LatentState

CPU = torch.device("cpu")
STEPS = 8
STARTS = 3 * 5
"""Latents in a batch of the test model."""


@pytest.fixture
def settings(gaussian):
    return {
        "model": gaussian,
        "imagination_horizon": 3,
        "first_imagined": 60,
        "imagined_capacity": 120,
        "imagine_every": 2,
        "batch_size": 10,
        "actor_layers": (8,),
        "critic_layers": (8,),
        "precision": "float32",
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "store"
    return tiny_data(folder, image_size=16, steps=STEPS)


def build(config, store):
    torch.manual_seed(0)
    return config.build(store.spec, CPU)


def prepared(config, store, *, imagine=True) -> LOMPO:
    """Return the algorithm with its latents, and with imagined transitions."""
    algorithm = build(config, store)
    phase = algorithm.phases[-1]
    prepare_phase(phase, Replay(store, CPU), seed=1)
    if imagine:
        refresh_phase(phase, 0)
    return algorithm


def train(algorithm, store, start, stop, seed=1):
    """Run updates of the agent's phase as the loop does; return their metrics."""
    phase, replay = algorithm.phases[-1], Replay(store, CPU)
    prepare_phase(phase, replay, seed)
    history = []
    for number in range(start, stop):
        refresh_phase(phase, number)
        metrics = phase.update(replay.batch(phase.batches, seed, number))
        history.append({name: float(value) for name, value in metrics.items()})
    return history


def tensors(state, path=""):
    """Return every tensor of a state by its path."""
    if isinstance(state, torch.Tensor):
        return {path: state.clone()}
    found = {}
    if isinstance(state, dict):
        for key, value in state.items():
            found |= tensors(value, f"{path}.{key}" if path else str(key))
    return found


def first_number(features):
    """Return a reward that is the first number of the stochastic part."""
    return features[..., 0]


def prediction_of_three(std=1e-9):
    mean = torch.tensor([[[1.0, 0.0]], [[2.0, 0.0]], [[6.0, 0.0]]])
    return EnsemblePrediction(
        kind="gaussian",
        sample=torch.tensor([[2.0, 0.0]]),
        member=torch.tensor([1]),
        mean=mean,
        std=torch.full_like(mean, std),
    )


def test_ensemble_reward_by_hand() -> None:
    state = LatentState(torch.zeros(1, 4), torch.tensor([[2.0, 0.0]]))
    # Members predict 1, 2 and 6 all but exactly: their mean is 3.
    value = ensemble_reward(first_number, state, prediction_of_three())
    assert value.tolist() == pytest.approx([3.0])


@pytest.mark.parametrize(("form", "reward"), [("ensemble-mean", 3.0), ("sampled-member", 2.0)])
def test_penalised_reward_by_hand(settings, store, form, reward) -> None:
    config = LOMPOConfig(**settings | {"imagined_reward": form, "penalty": NoPenalty(weight=0.5)})
    algorithm = build(config, store)
    algorithm.model.reward_of = first_number
    state = LatentState(torch.zeros(1, 12), torch.tensor([[2.0, 0.0]]))
    value = algorithm.penalised_reward(state, prediction_of_three(), torch.tensor([4.0]))
    assert value.tolist() == pytest.approx([reward - 0.5 * 4.0])


def test_samples_of_members_hold_the_drawn_one_and_fresh_ones_of_the_others() -> None:
    torch.manual_seed(0)
    prediction = prediction_of_three(std=0.5)
    samples = torch.stack([sample_members(prediction)[:, 0, 0] for _ in range(2000)])
    assert torch.equal(samples[:, 1], torch.full((2000,), 2.0))
    assert samples[:, [0, 2]].mean(0).tolist() == pytest.approx([1.0, 6.0], abs=0.05)
    assert samples[:, [0, 2]].std(0).tolist() == pytest.approx([0.5, 0.5], rel=0.1)


def test_samples_of_categorical_members_are_flat_one_hot_vectors() -> None:
    logits = torch.zeros(3, 6, 2, 4)
    logits[..., 3] = 50.0
    sample = torch.eye(4)[[0, 1]].expand(6, 2, 4)
    prediction = EnsemblePrediction(
        kind="categorical", sample=sample, member=torch.full((6,), 2), logits=logits
    )
    samples = sample_members(prediction)
    assert samples.shape == (3, 6, 8)
    assert torch.equal(samples[2], sample.flatten(-2))
    assert torch.equal(samples[:2], torch.eye(4)[[3, 3]].flatten().expand(2, 6, 8))


def test_penalty_without_a_weight_has_lompos(settings, store) -> None:
    config = LOMPOConfig(**settings | {"penalty": LogProbStd()})
    assert build(config, store).penalty_weight == 5.0
    with pytest.raises(VRLError, match="max-disagreement needs a weight"):
        build(LOMPOConfig(**settings | {"penalty": MaxDisagreement()}), store)


@pytest.mark.parametrize("config", [LOMPOConfig, OfflineSLACConfig])
def test_a_penalty_on_nothing_imagined_is_refused(settings, store, config) -> None:
    penalised = settings | {"penalty": MaxDisagreement(weight=7.0), "real_share": 1.0}
    with pytest.raises(VRLError, match=r"max-disagreement would change nothing.*penalty:none"):
        build(config(**penalised), store)
    build(config(**penalised | {"penalty": MaxDisagreement(weight=0.0)}), store)


def test_rollout_steps_follow_from_each_other(settings, store) -> None:
    algorithm = prepared(LOMPOConfig(**settings), store, imagine=False)
    start = LatentState(torch.randn(4, 12), torch.randn(4, 5))
    torch.manual_seed(3)
    rollouts = algorithm.roll_out(start)
    assert rollouts.features.shape == (4, 4, 17)
    assert torch.equal(rollouts.features[0], start.features)
    for step in range(3):  # the deterministic part is a function of the state and the action
        stochastic, deterministic = rollouts.features[step].split((5, 12), -1)
        state = LatentState(deterministic, stochastic)
        following = algorithm.model.rssm.advance(state, rollouts.action[step])
        torch.testing.assert_close(rollouts.features[step + 1][:, 5:], following)
    assert rollouts.action.abs().max() <= 1
    assert (rollouts.penalty > 0).all()
    assert not rollouts.reward.requires_grad


def test_sampled_member_reward_is_that_of_the_next_state_less_the_penalty(settings, store) -> None:
    config = LOMPOConfig(**settings | {"imagined_reward": "sampled-member"})
    algorithm = prepared(config, store, imagine=False)
    rollouts = algorithm.roll_out(LatentState(torch.randn(4, 12), torch.randn(4, 5)))
    plain = algorithm.model.reward_of(rollouts.features[1:])
    torch.testing.assert_close(rollouts.reward, plain - 5.0 * rollouts.penalty)


@pytest.mark.parametrize("cached", [True, False])
def test_latents_are_the_posteriors_of_the_datas_frames(settings, store, cached) -> None:
    config = LOMPOConfig(**settings | {"cache_encodings": cached})
    algorithm = prepared(config, store, imagine=False)
    latents = algorithm.latents
    assert latents.shape == (4 * (STEPS + 1), 17)
    episode = store[2]
    rows = slice(2 * (STEPS + 1), 3 * (STEPS + 1))
    stochastic, deterministic = latents[rows].split((5, 12), -1)
    rssm = algorithm.model.rssm
    torch.testing.assert_close(deterministic[:1], rssm.advance(rssm.start(1), torch.zeros(1, 2)))
    following = rssm.advance(
        LatentState(deterministic[:-1], stochastic[:-1]), torch.from_numpy(episode.actions)
    )
    torch.testing.assert_close(deterministic[1:], following)


def test_cached_and_uncached_latents_are_the_same(settings, store) -> None:
    cached, uncached = (
        prepared(LOMPOConfig(**settings | {"cache_encodings": cached}), store, imagine=False)
        for cached in (True, False)
    )
    torch.testing.assert_close(cached.latents, uncached.latents)


def test_first_refresh_fills_and_later_ones_add_one_batch(settings, store) -> None:
    algorithm = prepared(LOMPOConfig(**settings), store)
    # Each imagination makes 15 rollouts of 3 steps; two of them are 90, at least 60.
    assert (algorithm.imaginations, len(algorithm.imagined)) == (2, 90)
    refresh_phase(algorithm.phases[-1], 1)  # 2 does not divide 1
    assert algorithm.imaginations == 2
    refresh_phase(algorithm.phases[-1], 2)
    assert (algorithm.imaginations, len(algorithm.imagined)) == (3, 120)


def test_without_a_capacity_as_many_are_kept_as_are_real(settings, store) -> None:
    config = LOMPOConfig(**settings | {"imagined_capacity": None, "first_imagined": 10**6})
    algorithm = prepared(config, store)
    assert len(algorithm.imagined) == -(-4 * STEPS // 3) * 3  # 32 in whole rollouts of 3


@pytest.mark.parametrize(("share", "real"), [(0.5, 5), (0.3, 3), (0.0, 0), (1.0, 10)])
def test_batches_are_mixed_in_exact_shares(settings, store, share, real) -> None:
    penalty = LogProbVariance(weight=5.0) if share < 1 else NoPenalty()
    config = LOMPOConfig(**settings | {"real_share": share, "penalty": penalty})
    algorithm = prepared(config, store)
    seen = []
    algorithm.agent.update = lambda batch: seen.append(batch) or {}
    phase = algorithm.phases[-1]
    batch = Replay(store, CPU).batch(phase.batches, 1, 0)
    metrics = algorithm.update_agent(batch)
    mixed = seen[0]
    assert len(mixed.reward) == 10
    # Real states are rows of the data's latents, imagined ones lie in the buffer.
    known = (mixed.observation[:, None] == algorithm.latents).all(-1).any(-1)
    assert known[:real].all()
    if real:
        torch.testing.assert_close(mixed.reward[:real], batch.reward[:, 0])
        ended = batch.termination[:, 0]
        assert torch.equal(mixed.discount[:real], torch.where(ended, 0.0, 0.99))
    assert torch.equal(mixed.discount[real:], torch.full((10 - real,), 0.99))
    assert ("real/reward" in metrics, "imagined/reward" in metrics) == (real > 0, real < 10)
    if real < 10:
        imagined = algorithm.imagined.features.flatten(0, 1)
        assert (mixed.next_observation[real:, None] == imagined).all(-1).any(-1).all()


def test_lmbrl_is_lompo_without_weight(settings, store) -> None:
    without = {**settings, "penalty": LogProbVariance(weight=0.0)}
    lompo, lmbrl = LOMPOConfig(**without), LMBRLConfig(**settings)
    states = []
    for config in (lompo, lmbrl):
        torch.manual_seed(0)
        algorithm = build(config, store)
        train(algorithm, store, 0, 5)
        state = tensors(algorithm.state_dict())
        del state["imagined.penalty"]  # LOMPO goes on measuring it
        states.append(state)
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def test_a_penalty_lowers_imagined_rewards(settings, store) -> None:
    penalised, plain = (
        prepared(LOMPOConfig(**settings | {"penalty": LogProbVariance(weight=weight)}), store)
        for weight in (5.0, 0.0)
    )
    expected = plain.imagined.reward - 5.0 * plain.imagined.penalty
    torch.testing.assert_close(penalised.imagined.reward, expected)
    assert (plain.imagined.penalty[:, :30] > 0).all()


def test_offline_slac_imagines_nothing(settings, store) -> None:
    algorithm = prepared(OfflineSLACConfig(**settings), store)
    assert algorithm.phases[-1].refresh is None
    metrics = train(algorithm, store, 0, 3)
    assert algorithm.imagined is None
    assert algorithm.imaginations == 0
    assert not [name for name in metrics[0] if name.startswith("imagined")]


@pytest.mark.parametrize("kind", ["soft-actor-critic", "deterministic"])
def test_an_agents_update_reads_nothing_on_the_host(
    settings, store, model_config, kind, no_host_reads
) -> None:
    config = LOMPOConfig(**settings | {"model": model_config, "agent": kind})
    algorithm = prepared(config, store)
    phase = algorithm.phases[-1]
    assert phase.replayable
    batch = Replay(store, CPU).batch(phase.batches, 1, 0)
    phase.update(batch)  # optimisers make their state in the first step
    with no_host_reads():
        phase.update(batch)


@pytest.mark.parametrize("kind", ["soft-actor-critic", "deterministic"])
def test_agents_phase_changes_the_agent_alone(settings, store, kind) -> None:
    algorithm = build(LOMPOConfig(**settings | {"agent": kind}), store)
    before = tensors(algorithm.state_dict())
    train(algorithm, store, 0, 3)
    after = tensors(algorithm.state_dict())
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    networks = {name for name in before if name.startswith("agent.networks")}
    assert changed == networks
    assert not any(parameter.requires_grad for parameter in algorithm.model.parameters())


def test_models_phase_leaves_the_agent_alone(settings, store) -> None:
    algorithm = build(LOMPOConfig(**settings), store)
    phase, replay = algorithm.phases[0], Replay(store, CPU)
    before = tensors(algorithm.state_dict()["agent"])
    phase.update(replay.batch(phase.batches, 1, 0))
    after = tensors(algorithm.state_dict()["agent"])
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize("kind", ["soft-actor-critic", "deterministic"])
def test_resuming_between_refreshes_equals_no_stop(settings, store, kind) -> None:
    config = LOMPOConfig(**settings | {"agent": kind})
    whole, stopped = build(config, store), build(config, store)
    torch.manual_seed(5)
    history = train(whole, store, 0, 7)
    torch.manual_seed(5)
    begun = train(stopped, store, 0, 3)
    random, state = torch.get_rng_state(), stopped.state_dict()
    resumed = build(config, store)
    resumed.load_state_dict(state)
    torch.set_rng_state(random)
    assert begun + train(resumed, store, 3, 7) == history
    end, wanted = tensors(resumed.state_dict()), tensors(whole.state_dict())
    assert end.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.equal(value, end[name]), name


@pytest.mark.parametrize("kind", ["soft-actor-critic", "deterministic"])
def test_overfits_one_batch(settings, store, kind) -> None:
    config = OfflineSLACConfig(
        **settings | {"agent": kind, "discount": 0.0, "learning_rate": 1e-2, "batch_size": 8}
    )
    algorithm = prepared(config, store)
    batch = Replay(store, CPU).batch(algorithm.phases[-1].batches, 1, 0)
    losses = [algorithm.update_agent(batch)["critic/loss"].item() for _ in range(150)]
    assert losses[-1] < losses[0] / 30


def test_penalties_of_the_other_kind_of_latent_are_refused(settings, categorical) -> None:
    from vrl_worldmodel.penalty_config import MaxStd

    with pytest.raises(VRLError, match="gaussian ensembles, and this model's are categorical"):
        LOMPOConfig(**settings | {"model": categorical, "penalty": MaxStd()})


def test_categorical_models_serve_lompo_too(settings, store, categorical) -> None:
    model = replace(categorical, sequence_length=5)
    config = LOMPOConfig(**settings | {"model": model, "penalty": MaxDisagreement(weight=1.0)})
    history = train(build(config, store), store, 0, 3)
    assert all(torch.tensor(list(metrics.values())).isfinite().all() for metrics in history)
