"""What holds for every algorithm: which weights an update moves, resuming, seeds, precision."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from vrl_core.episodes import DataSpec, FieldSpec
from vrl_core.errors import VRLError
from vrl_core.protocols import Transitions
from vrl_modelfree.config import BCConfig, CQLConfig, DrQBCConfig

CPU = torch.device("cpu")
ALGORITHMS = [BCConfig, DrQBCConfig, CQLConfig]
WITH_CRITIC = [DrQBCConfig, CQLConfig]
every_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)


def build(algorithm, small, spec, seed: int = 0, **changes):
    torch.manual_seed(seed)
    return algorithm(**(small | changes)).build(spec, CPU)


def snapshot(learner) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value.clone()
        for name, network in learner.networks.items()
        for key, value in network.state_dict().items()
    }


def moved(before: dict[str, torch.Tensor], learner) -> set[str]:
    after = snapshot(learner)
    return {name.split(".")[0] for name in before if not before[name].equal(after[name])}


@every_algorithm
def test_one_update_moves_every_weight(algorithm, small, spec, make_batch) -> None:
    learner = build(algorithm, small, spec)
    before = snapshot(learner)
    learner.update(make_batch())
    after = snapshot(learner)
    # A ReLU that is off for the whole batch may keep single rows still, never a whole tensor.
    assert [name for name in before if before[name].equal(after[name])] == []
    assert learner.updates.item() == 1


@every_algorithm
def test_learning_rate_falls_on_a_line_and_drives_every_optimiser(
    algorithm, small, spec, make_batch
) -> None:
    changes = {"learning_rate": 1e-2, "final_learning_rate": 0.0, "steps": 4}
    learner = build(algorithm, small, spec, **changes)
    rates = []
    for _ in range(5):
        before = snapshot(learner)
        learner.update(make_batch())
        rates.append(learner.learning_rate.item())
        for optimiser in learner.optimisers.values():
            assert float(optimiser.param_groups[0]["lr"]) == rates[-1]
    assert rates == pytest.approx([1e-2, 7.5e-3, 5e-3, 2.5e-3, 0.0])
    assert moved(before, learner) <= {"target_critic"}  # the last update had a rate of zero


@every_algorithm
def test_learning_rate_is_constant_unless_it_is_told_to_fall(
    algorithm, small, spec, make_batch
) -> None:
    learner = build(algorithm, small, spec, learning_rate=1e-2, steps=1)
    for _ in range(3):
        learner.update(make_batch())
        assert learner.learning_rate.item() == pytest.approx(1e-2)


@pytest.mark.parametrize("algorithm", WITH_CRITIC)
def test_each_loss_moves_its_own_networks(algorithm, small, spec, make_batch) -> None:
    learner, batch = build(algorithm, small, spec), make_batch()
    deviation = learner.noise_deviation()
    features = learner.encode(batch.observation)
    before = snapshot(learner)
    learner.update_critic(features, batch, deviation)
    assert moved(before, learner) == {"encoder", "critic"}
    before = snapshot(learner)
    learner.update_actor(features.detach(), batch.action, deviation)
    assert moved(before, learner) == {"actor"}


def test_fused_step_is_adams_whatever_the_gradients_layout(small, spec, make_batch) -> None:
    learner, batch = build(BCConfig, small, spec, learning_rate=1e-2), make_batch()
    features = learner.encode(batch.observation)
    loss = learner.actor_loss(features, batch.action, learner.noise_deviation())
    parameters = [*learner.encoder.parameters(), *learner.actor.parameters()]
    copies = [parameter.detach().clone() for parameter in parameters]
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True)
    for copied, gradient in zip(copies, gradients, strict=True):
        copied.grad = gradient
    torch.optim.Adam(copies, lr=1e-2, foreach=False, fused=False).step()
    learner.step_on(loss, "encoder", "actor")
    for parameter, copied in zip(parameters, copies, strict=True):
        torch.testing.assert_close(parameter.detach(), copied, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("algorithm", WITH_CRITIC)
def test_target_critic_takes_over_its_share(algorithm, small, spec, make_batch) -> None:
    learner = build(algorithm, small, spec, learning_rate=1e-2)
    before = copy.deepcopy(learner.target_critic)
    learner.update(make_batch())
    triples = zip(
        before.parameters(),
        learner.critic.parameters(),
        learner.target_critic.parameters(),
        strict=True,
    )
    for old, online, new in triples:
        torch.testing.assert_close(new, 0.99 * old + 0.01 * online, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("algorithm", WITH_CRITIC)
def test_actor_sees_the_stepped_critic_on_features_from_before(
    algorithm, small, spec, make_batch, monkeypatch
) -> None:
    learner, batch = build(algorithm, small, spec, shift_padding=0), make_batch()
    with torch.no_grad():
        old_features = learner.encode_unshifted(batch.observation)
    old_critic = copy.deepcopy(learner.critic.state_dict())
    original, seen = learner.actor_loss, []

    def actor_loss(features, action, deviation):
        stepped = not learner.critic.output.weight.equal(old_critic["output.weight"])
        seen.append((features.equal(old_features), features.requires_grad, stepped))
        return original(features, action, deviation)

    monkeypatch.setattr(learner, "actor_loss", actor_loss)
    learner.update(batch)
    assert seen == [(True, False, True)]


@every_algorithm
@pytest.mark.parametrize("final_rate", [None, 0.0])
def test_saved_and_loaded_equals_never_stopped(
    algorithm, small, spec, make_batch, final_rate
) -> None:
    changes = {"final_learning_rate": final_rate, "steps": 4}
    learner = build(algorithm, small, spec, **changes)
    for seed in range(2):
        learner.update(make_batch(seed=seed))
    state, random = copy.deepcopy(learner.state_dict()), torch.get_rng_state()
    expected = [learner.update(make_batch(seed=seed)) for seed in (2, 3)]

    resumed = build(algorithm, small, spec, seed=99, **changes)
    resumed.load_state_dict(state)
    torch.set_rng_state(random)
    assert [resumed.update(make_batch(seed=seed)) for seed in (2, 3)] == expected
    ended, other = snapshot(learner), snapshot(resumed)
    assert all(ended[name].equal(other[name]) for name in ended)


@every_algorithm
def test_same_seed_same_metrics_and_other_seed_others(algorithm, small, spec, make_batch) -> None:
    def metrics(seed: int) -> list[dict[str, torch.Tensor]]:
        learner = build(algorithm, small, spec, seed=seed)
        return [learner.update(make_batch(seed=k)) for k in range(3)]

    assert metrics(0) == metrics(0)
    assert metrics(0) != metrics(1)


@every_algorithm
def test_metrics_are_detached_scalars(algorithm, small, spec, make_batch) -> None:
    metrics = build(algorithm, small, spec).update(make_batch())
    assert {"actor/loss", "actor/noise"} <= set(metrics)
    for value in metrics.values():
        assert value.shape == ()
        assert not value.requires_grad
        assert value.isfinite()


@pytest.mark.parametrize("algorithm", [BCConfig, DrQBCConfig])
def test_overfits_one_batch(algorithm, small, spec, make_batch) -> None:
    quiet = {"noise_start": 0.01, "noise_end": 0.01, "shift_padding": 0, "learning_rate": 3e-3}
    if algorithm is DrQBCConfig:
        quiet["bc_weight"] = 0.001  # cloning alone
    learner = build(algorithm, small, spec, hidden_size=64, **quiet)
    batch = make_batch()
    for _ in range(400):
        metrics = learner.update(batch)
    error = metrics["actor/cloning" if algorithm is DrQBCConfig else "actor/loss"]
    assert error < 0.005
    action = learner.mean_action(batch.observation)
    torch.testing.assert_close(action, batch.action, atol=0.15, rtol=0)


def test_critic_learns_the_value_of_one_batch(small, spec, make_batch) -> None:
    learner = build(DrQBCConfig, small, spec, learning_rate=3e-3, shift_padding=0)
    batch = make_batch()
    batch.discount.zero_()  # the target is the reward
    for _ in range(300):
        metrics = learner.update(batch)
    assert metrics["critic/loss"] < 0.01


def test_conservatism_lowers_drawn_actions_below_the_data(small, spec, make_batch) -> None:
    batch = make_batch()
    gaps = {}
    for trade_off in (0.0, 5.0):
        learner = build(
            CQLConfig, small, spec, trade_off=trade_off, learning_rate=3e-3, shift_padding=0
        )
        for _ in range(150):
            metrics = learner.update(batch)
        gaps[trade_off] = metrics["critic/gap"].item()
    assert gaps[5.0] < gaps[0.0] - 1.0


@every_algorithm
def test_bfloat16_losses_are_close_to_float32(algorithm, small, spec, make_batch) -> None:
    losses = {}
    for precision in ("float32", "bfloat16"):
        changes = {"precision": precision, "hidden_size": 64, "learning_rate": 1e-4}
        learner = build(algorithm, small, spec, **changes)
        torch.manual_seed(5)  # the same shifts and noise in both
        steps = [learner.update(make_batch(64, seed=k)) for k in range(5)]
        losses[precision] = {
            name: torch.stack([step[name] for step in steps])
            for name in steps[0]
            if name.endswith(("loss", "cloning"))
        }
    for name, exact in losses["float32"].items():
        close = losses["bfloat16"][name]
        assert not close.equal(exact)
        torch.testing.assert_close(close, exact, rtol=0.02, atol=0.02, msg=lambda m: f"{name}: {m}")  # noqa: B023


@every_algorithm
def test_bfloat16_is_as_close_at_the_papers_sizes(algorithm, make_batch) -> None:
    images = {"image": FieldSpec((84, 84, 3), "uint8")}
    spec = DataSpec(task="walker_walk", observations=images, action_size=2, behaviour="expert")
    batch = make_batch(16, image_size=84)
    losses = {}
    for precision in ("float32", "bfloat16"):
        torch.manual_seed(0)
        learner = algorithm(precision=precision, batch_size=16).build(spec, CPU)
        torch.manual_seed(5)
        metrics = learner.update(batch)
        losses[precision] = {name: metrics[name] for name in metrics if name.endswith("loss")}
    # An actor's loss near zero is a difference of values of the order of one.
    torch.testing.assert_close(losses["bfloat16"], losses["float32"], rtol=2e-3, atol=0.01)


@every_algorithm
def test_phase_asks_for_stacked_transitions(algorithm, small, spec) -> None:
    (phase,) = build(algorithm, small, spec, steps=7).phases
    steps = 1 if algorithm is BCConfig else 3
    assert phase.steps == 7
    assert phase.batches == Transitions(
        batch_size=6, frame_stack=3, return_steps=steps, observations=("image",)
    )


@every_algorithm
def test_too_small_images_are_refused(algorithm, spec) -> None:
    config = algorithm(encoder_strides=(2, 2, 2, 2))
    with pytest.raises(VRLError, match="too small"):
        config.build(spec, CPU)


class NoHostReads(TorchDispatchMode):
    """Refuses the operators that hand a tensor's contents to Python, and so wait for a GPU."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.name()
        assert name not in ("aten::_local_scalar_dense", "aten::nonzero", "aten::equal"), name
        return function(*args, **(kwargs or {}))


def test_the_watch_notices_a_host_read() -> None:
    with pytest.raises(AssertionError, match="_local_scalar_dense"), NoHostReads():
        torch.ones(()).item()


@every_algorithm
def test_update_reads_nothing_on_the_host(algorithm, small, spec, make_batch) -> None:
    learner = build(algorithm, small, spec)
    (phase,) = learner.phases
    assert phase.replayable
    learner.update(make_batch())
    with NoHostReads():
        learner.update(make_batch())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@every_algorithm
def test_update_does_not_wait_for_the_gpu(algorithm, small, spec, make_batch) -> None:
    device = torch.device("cuda")
    learner = algorithm(**small).build(spec, device)
    batch = make_batch()
    images = {"image": batch.observation["image"].to(device)}
    moved_batch = type(batch)(
        images, batch.action.to(device), batch.reward.to(device), batch.discount.to(device), images
    )
    for _ in range(3):
        learner.update(moved_batch)
    torch.cuda.set_sync_debug_mode("error")
    try:
        learner.update(moved_batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
