"""Offline DV2's two phases: what each changes, its penalised reward, and its gradient."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from vrl_core.errors import VRLError
from vrl_core.metrics import first_not_finite
from vrl_core.replay import Replay
from vrl_core.testing import tiny_data
from vrl_worldmodel.config import OfflineDV2Config
from vrl_worldmodel.distributions import TruncatedNormal
from vrl_worldmodel.imagination import imagine
from vrl_worldmodel.offline_dv2 import OfflineDV2
from vrl_worldmodel.penalty_config import LogProbStd, MeanDisagreement, NoPenalty
from vrl_worldmodel.rssm import LatentState

CPU = torch.device("cpu")
STARTS = 6


def build(model_config, spec, seed: int = 0, **changes) -> OfflineDV2:
    torch.manual_seed(seed)
    settings = {
        "model": model_config,
        "actor_layers": (8,),
        "critic_layers": (8,),
        "imagination_horizon": 3,
        "precision": "float32",
    }
    return OfflineDV2Config(**(settings | changes)).build(spec, CPU)


BOTH_RATES = {"actor_learning_rate": 1e-2, "critic_learning_rate": 1e-2}


def starts(learner: OfflineDV2, count: int = STARTS) -> LatentState:
    """States that the model might be in."""
    torch.manual_seed(3)
    rssm = learner.model.rssm
    deterministic = torch.randn_like(rssm.start(count).deterministic).tanh()
    with torch.no_grad():
        return LatentState(deterministic, rssm.prior(deterministic, rssm.draw_member()).sample())


def snapshot(learner: OfflineDV2) -> dict[str, Tensor]:
    parts = {"model": learner.model, "actor": learner.agent.actor, "critic": learner.agent.critic}
    parts["target_critic"] = learner.agent.target_critic
    return {
        f"{name}.{key}": value.clone()
        for name, part in parts.items()
        for key, value in part.state_dict().items()
    }


def moved(before: dict[str, Tensor], learner: OfflineDV2) -> set[str]:
    after = snapshot(learner)
    return {name.split(".")[0] for name in before if not before[name].equal(after[name])}


def freeze(learner: OfflineDV2) -> OfflineDV2:
    learner.model.requires_grad_(False)
    return learner


def test_each_phase_changes_its_own_networks(model_config, spec, make_batch) -> None:
    learner = build(model_config, spec, **BOTH_RATES, target_interval=2)
    before = snapshot(learner)
    learner.update_model(make_batch())
    assert moved(before, learner) == {"model"}

    freeze(learner)
    before = snapshot(learner)
    learner.update_behaviour(make_batch())
    assert moved(before, learner) == {"actor", "critic", "target_critic"}
    after = snapshot(learner)
    still = [n for n in before if not n.startswith("model") and before[n].equal(after[n])]
    assert still == []
    before = snapshot(learner)
    learner.update_behaviour(make_batch())  # the target critic is not due
    assert moved(before, learner) == {"actor", "critic"}


def test_weight_is_the_papers_unless_it_is_given(categorical, spec) -> None:
    def weight(penalty, **changes) -> float:
        return build(categorical, replace(spec, **changes), penalty=penalty).penalty_weight

    assert weight(MeanDisagreement()) == 3.0  # random data
    assert weight(MeanDisagreement(), behaviour="medium_replay") == 8.0
    assert weight(MeanDisagreement(), behaviour="mixed", task="cheetah_run") == 10.0
    assert weight(MeanDisagreement(), behaviour="expert") == 10.0
    assert weight(MeanDisagreement(weight=0.5)) == 0.5
    assert weight(MeanDisagreement(weight=0.0)) == 0.0
    assert weight(NoPenalty()) == 0.0
    with pytest.raises(VRLError, match=r"log-prob-std needs a weight.*belongs to mean-disag"):
        weight(LogProbStd())


def test_updates_that_are_not_the_papers_epochs_are_warned_of(categorical, spec, tmp_path) -> None:
    replay = Replay(tiny_data(tmp_path / "store", image_size=16), CPU)  # 48 transitions
    learner = build(categorical, spec)  # batches of 3 x 5
    with pytest.warns(UserWarning, match="48 transitions: --model-steps 2560 --steps 7680"):
        learner.check_data(replay, 0)
    with pytest.warns(UserWarning, match="48 transitions: --steps 7680"):
        build(categorical, spec, model_steps=1).check_data(replay, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(categorical, spec, model_steps=2560, steps=7680).check_data(replay, 0)


def test_penalised_reward_is_equation_1(categorical, spec) -> None:
    learner = freeze(build(categorical, spec, penalty=MeanDisagreement(weight=2.0)))
    torch.manual_seed(4)
    imagined = learner.imagine(starts(learner))
    # The reward head and the disagreement once more, step by step and member by member.
    rssm = learner.model.rssm
    deterministic = imagined.features[:-1, :, rssm.stochastic_size :]
    tables = torch.stack(
        [rssm.prior(deterministic, torch.tensor([k])).probabilities for k in range(rssm.members)]
    )
    distance = (tables - tables.mean(0)).square().sum((-2, -1)).sqrt().mean(0)
    first, _, last = learner.model.reward.layers
    hidden = torch.nn.functional.elu(imagined.features[:-1] @ first.weight.T + first.bias)
    reward = hidden @ last.weight[0] + last.bias
    expected = reward - 2.0 * distance
    torch.testing.assert_close(learner.penalised_reward(imagined), expected)


def test_penalty_gain_compares_imagined_states_with_those_they_start_from(
    categorical, spec, make_batch, monkeypatch
) -> None:
    learner = freeze(build(categorical, spec, imagination_horizon=3))
    steps = iter((1.0, 4.0, 6.0))
    monkeypatch.setattr(
        learner, "penalty", lambda drawn: torch.full(drawn.member.shape, next(steps))
    )
    metrics = learner.update_behaviour(make_batch())
    assert metrics["imagination/penalty"].item() == pytest.approx((1 + 4 + 6) / 3)
    assert metrics["imagination/penalty_gain"].item() == pytest.approx((4 + 6) / 2 - 1)


def test_a_penalty_that_is_not_finite_is_named_before_the_losses(
    categorical, spec, make_batch, monkeypatch
) -> None:
    learner = freeze(build(categorical, spec))
    monkeypatch.setattr(
        learner, "penalty", lambda drawn: torch.full(drawn.member.shape, float("nan"))
    )
    metrics = learner.update_behaviour(make_batch())
    assert metrics["actor/loss"].isnan()
    values = {name: float(value) for name, value in metrics.items()}
    assert first_not_finite(values) == "imagination/penalty"


@pytest.mark.parametrize("penalty", [NoPenalty(), MeanDisagreement(weight=0.0)])
def test_without_a_penalty_the_reward_is_the_heads(categorical, spec, penalty) -> None:
    learner = freeze(build(categorical, spec, penalty=penalty))
    torch.manual_seed(4)
    imagined = learner.imagine(starts(learner))
    expected = learner.model.reward_of(imagined.features[:-1])
    torch.testing.assert_close(learner.penalised_reward(imagined), expected)


def actor_gradient(learner: OfflineDV2) -> list[Tensor]:
    torch.manual_seed(5)
    imagined = learner.imagine(starts(learner))
    of_actor, _, _ = learner.agent.losses(imagined, learner.penalised_reward(imagined))
    parameters = list(learner.agent.actor.parameters())
    found = torch.autograd.grad(of_actor, parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


@pytest.mark.parametrize("penalty", [MeanDisagreement, LogProbStd])
def test_gradient_flows_through_dynamics_and_penalty(model_config, spec, penalty) -> None:
    """With no reward, no value and no entropy, what is left is the penalty's gradient."""
    for weight, flows in ((2.0, True), (0.0, False)):
        learner = build(model_config, spec, penalty=penalty(weight=weight), entropy_weight=0.0)
        freeze(learner)
        for parameter in (*learner.model.reward.parameters(), *target_parameters(learner)):
            parameter.data.zero_()
        assert any(bool(gradient.any()) for gradient in actor_gradient(learner)) == flows


def target_parameters(learner: OfflineDV2) -> list[Tensor]:
    return list(learner.agent.target_critic.parameters())


def test_gradient_flows_through_reward_and_value(model_config, spec) -> None:
    learner = freeze(build(model_config, spec, penalty=NoPenalty(), entropy_weight=0.0))
    with_both = actor_gradient(learner)
    for parameter in target_parameters(learner):
        parameter.data.zero_()
    with_reward = actor_gradient(learner)
    for parameter in learner.model.reward.parameters():
        parameter.data.zero_()
    neither = actor_gradient(learner)
    assert any(bool(gradient.any()) for gradient in with_reward)
    assert not all(a.allclose(b) for a, b in zip(with_both, with_reward, strict=True))
    assert not any(bool(gradient.any()) for gradient in neither)


def test_actor_climbs_a_known_reward(model_config, spec, monkeypatch) -> None:
    """The reward is one number of the recurrent state, which actions move."""
    learner = build(
        model_config,
        spec,
        penalty=NoPenalty(),
        actor_learning_rate=2e-2,
        critic_learning_rate=2e-2,
        entropy_weight=0.0,
        target_interval=1,
    )
    freeze(learner)
    monkeypatch.setattr(learner.model, "reward_of", lambda features: 10 * features[..., -1])
    start = starts(learner, 32)

    def mean_reward(act) -> float:
        torch.manual_seed(9)
        with torch.no_grad():
            imagined = imagine(learner.model.rssm, start, act, 3)
        return float(learner.model.reward_of(imagined.features).mean())

    def constant(*action: float):
        mean = torch.tensor(action).expand(32, 2)
        return lambda features: TruncatedNormal(mean, torch.full_like(mean, 0.1))

    corners = [mean_reward(constant(a, b)) for a in (-1.0, 1.0) for b in (-1.0, 1.0)]
    before = mean_reward(learner.agent.actor)
    for _ in range(40):
        imagined = learner.imagine(start)
        losses = learner.agent.losses(imagined, learner.penalised_reward(imagined))
        learner.agent.step_on(*losses[:2])
    # Best of the four constant extremes: the actor should be nearly that good, or better.
    after = mean_reward(learner.agent.actor)
    assert before + 0.8 * (max(corners) - before) < after


def test_critic_learns_the_return_of_a_constant_reward(categorical, spec, monkeypatch) -> None:
    learner = build(
        categorical, spec, penalty=NoPenalty(), **BOTH_RATES, discount=0.5, target_interval=1
    )
    freeze(learner)
    monkeypatch.setattr(
        learner.model, "reward_of", lambda features: torch.ones_like(features[..., 0])
    )
    start = starts(learner)
    for _ in range(60):
        imagined = learner.imagine(start)
        losses = learner.agent.losses(imagined, learner.penalised_reward(imagined))
        learner.agent.step_on(*losses[:2])
    assert float(losses[2]["critic/value"]) == pytest.approx(2.0, abs=0.1)  # 1 / (1 - 0.5)


def test_saved_and_loaded_equals_never_stopped(categorical, spec, make_batch) -> None:
    learner = freeze(build(categorical, spec, target_interval=2))
    learner.update_behaviour(make_batch())
    state, random = copy.deepcopy(learner.state_dict()), torch.get_rng_state()
    expected = [learner.update_behaviour(make_batch(seed=k)) for k in (1, 2)]
    resumed = freeze(build(categorical, spec, seed=99, target_interval=2))
    resumed.load_state_dict(state)
    torch.set_rng_state(random)
    assert [resumed.update_behaviour(make_batch(seed=k)) for k in (1, 2)] == expected


def test_same_seed_same_metrics_and_other_seed_others(categorical, spec, make_batch) -> None:
    def metrics(seed: int) -> list[dict[str, Tensor]]:
        learner = build(categorical, spec, seed)
        return [learner.update_model(make_batch()), freeze(learner).update_behaviour(make_batch())]

    assert metrics(0) == metrics(0)
    assert metrics(0) != metrics(1)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_updates_read_nothing_on_the_host(
    model_config, spec, make_batch, precision, no_host_reads
) -> None:
    learner = build(model_config, spec, precision=precision)
    assert all(phase.replayable for phase in learner.phases)
    learner.update_model(make_batch())
    batch = make_batch()
    with no_host_reads():
        learner.update_model(batch)
    freeze(learner).update_behaviour(batch)
    with no_host_reads():
        learner.update_behaviour(batch)


def test_bfloat16_losses_are_close_to_float32(categorical, spec, make_batch) -> None:
    model = replace(categorical, deterministic_size=64, hidden_size=64)
    losses = {}
    for precision in ("float32", "bfloat16"):
        learner = freeze(build(model, spec, precision=precision, penalty=NoPenalty()))
        torch.manual_seed(5)
        losses[precision] = learner.update_behaviour(make_batch(8))
    for name in ("critic/loss", "critic/target", "imagination/reward"):
        exact, close = losses["float32"][name], losses["bfloat16"][name]
        assert not close.equal(exact)
        torch.testing.assert_close(close, exact, rtol=0.1, atol=0.02)


def test_a_penalty_that_is_a_module_is_called(categorical, spec, make_batch) -> None:
    class Learned(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(3.0))

        def forward(self, prediction) -> Tensor:
            return self.scale * prediction.logits.std(0).mean((-2, -1))

    learner = freeze(build(categorical, spec))
    learner.penalty = Learned()
    metrics = learner.update_behaviour(make_batch())
    assert metrics["imagination/penalty"] > 0
    assert learner.penalty.scale.item() == 3.0


def test_images_the_convolutions_cannot_take_are_refused(categorical, spec) -> None:
    deeper = replace(categorical, channels=(4, 4, 4, 4))
    with pytest.raises(VRLError, match=r"16x16 pixels are too small for 4 convolutions.*no more"):
        build(deeper, spec)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_updates_do_not_wait_for_the_gpu(categorical, spec, make_batch) -> None:
    from vrl_core.replay import map_tensors

    device = torch.device("cuda")
    learner = OfflineDV2Config(
        model=categorical, actor_layers=(8,), critic_layers=(8,), imagination_horizon=3
    ).build(spec, device)
    batch = map_tensors(make_batch(), lambda tensor: tensor.to(device))
    for update in (learner.update_model, learner.update_behaviour):
        for _ in range(3):
            update(batch)
        torch.cuda.set_sync_debug_mode("error")
        try:
            update(batch)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        freeze(learner)
