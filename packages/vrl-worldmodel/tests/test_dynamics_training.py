"""When the dynamics stop, what they keep, and that they learn."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import pytest
import torch

from vrl_core.errors import VRLError
from vrl_core.replay import Replay
from vrl_core.testing import tiny_data
from vrl_worldmodel.dynamics import ProbabilisticEnsemble
from vrl_worldmodel.dynamics_data import DynamicsData
from vrl_worldmodel.dynamics_training import DynamicsTrainer, warn_of_large_rewards
from vrl_worldmodel.mopo_config import DynamicsConfig

CPU = torch.device("cpu")
CONFIG = DynamicsConfig(
    members=3,
    elites=2,
    hidden_layers=(8,),
    weight_decay=(0.0, 0.0),
    batch_size=16,
    patience=1,
)


def make_trainer(config: DynamicsConfig = CONFIG, state_size: int = 2) -> DynamicsTrainer:
    torch.manual_seed(0)
    return DynamicsTrainer(config, ProbabilisticEnsemble(config, state_size, 1), CPU)


def end_epochs(trainer: DynamicsTrainer, errors: Sequence[Sequence[float]], monkeypatch) -> None:
    """End epochs with these errors; member k's biases are then 10 * epoch + k."""
    for epoch, row in enumerate(errors):
        for name, value in trainer.model.member_tensors().items():
            if name.endswith("bias"):
                value.copy_((10 * epoch + torch.arange(3.0)).view(3, 1, 1).expand_as(value))
        monkeypatch.setattr(trainer, "errors", lambda row=row: torch.tensor(row))
        trainer.end_epoch()


def test_training_stops_when_no_member_has_got_better_for_more_epochs_than_patience(monkeypatch):
    trainer = make_trainer()
    end_epochs(trainer, [[1.0, 2.0, 3.0], [0.995, 2.5, 3.0]], monkeypatch)
    assert (trainer.stale_epochs, trainer.stopped) == (1, False)  # 0.5% is not better
    end_epochs(trainer, [[1.0, 1.97, 3.0]], monkeypatch)
    assert (trainer.stale_epochs, trainer.stopped) == (0, False)  # member 1 is, by 1.5%
    end_epochs(trainer, [[1.0, 1.97, 3.0]] * 2, monkeypatch)
    assert (trainer.stale_epochs, trainer.stopped) == (2, True)
    assert trainer.best_error.tolist() == pytest.approx([1.0, 1.97, 3.0])


def test_every_member_gets_its_own_best_weights_back_and_the_best_are_elites(monkeypatch):
    trainer = make_trainer()
    errors = [[3.0, 1.0, 5.0], [2.0, 1.5, 6.0], [2.5, 1.4, 1.5], [9.0, 9.0, 9.0]]
    end_epochs(trainer, errors, monkeypatch)
    trainer.finish()
    for layer in trainer.model.layers():
        assert layer.bias[:, 0, 0].tolist() == [10.0, 1.0, 22.0]  # epochs 1, 0 and 2
    assert trainer.elites.tolist() == [1, 2]
    assert trainer.finished
    assert not any(value.requires_grad for value in trainer.model.parameters())


def test_an_epoch_that_was_cut_short_is_judged_like_a_whole_one(monkeypatch):
    trainer = make_trainer()
    trainer.position += 16
    monkeypatch.setattr(trainer, "errors", lambda: torch.tensor([3.0, 2.0, 1.0]))
    trainer.finish()
    assert trainer.elites.tolist() == [2, 1]


def test_a_member_that_diverges_is_named():
    trainer = make_trainer()
    trainer.data = DynamicsData(
        inputs=torch.zeros(4, 3),
        targets=torch.zeros(4, 3),
        holdout_inputs=torch.zeros(2, 3),
        holdout_targets=torch.zeros(2, 3),
    )
    with torch.no_grad():
        trainer.model.mean_head.bias[1] = torch.inf
    # Before the first update no training can have done it.
    with pytest.raises(VRLError, match=r"member 1 .* before the first update.*vrl data stats"):
        trainer.errors()
    trainer.position += trainer.config.batch_size
    with pytest.raises(VRLError, match="Member 1 of the dynamics has diverged"):
        trainer.errors()


@pytest.fixture
def replay(tmp_path) -> Replay:
    store = tiny_data(
        tmp_path / "store", episodes=4, steps=11, image_size=None, state_size=2, action_size=1
    )
    return Replay(store, CPU)


def test_an_epoch_shows_every_member_its_whole_bootstrap_set(replay, monkeypatch):
    trainer = make_trainer()
    trainer.prepare(replay, seed=5)
    assert len(trainer.data) == 36  # of 44, 8 are held out
    assert trainer.updates_per_epoch == 3
    trainer.refresh(0)
    shown = []
    for _ in range(3):
        shown.append(trainer._draw_batch()[0])
        trainer.update()
    # 48 places for 36 transitions: the first twelve come again.
    seen = torch.cat(shown, 1)
    torch.testing.assert_close(seen[:, 36:], seen[:, :12])
    for member in range(3):
        wanted = trainer.data.inputs[trainer._order[member]]
        torch.testing.assert_close(seen[member, :36], wanted)
    trainer.refresh(3)
    assert trainer.epochs == 2
    assert int(trainer.position) == 0
    assert bool((trainer.best_error < torch.inf).all())


def test_a_loss_that_is_not_finite_names_member_epoch_and_update(replay):
    trainer = make_trainer()
    trainer.prepare(replay, seed=5)
    for update in range(5):  # three an epoch
        trainer.refresh(update)
        if update == 4:
            trainer.model.mean_head.bias.data[1] = torch.nan
            with pytest.raises(VRLError, match=r"Member 1 .* nan after 1 updates of epoch 2"):
                trainer.update()
        else:
            trainer.update()
    kept = torch.cat([trainer.model.lower_bound, trainer.model.upper_bound])
    assert bool(kept.isfinite().all())  # which all members share


@pytest.mark.parametrize(("size", "warned"), [(1e4, True), (1.0, False)])
def test_rewards_far_larger_than_states_are_warned_of(size, warned):
    reward, state_std = size * torch.tensor([-1.0, 1.0]), torch.tensor([0.5, 2.0])
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        warn_of_large_rewards(reward, state_std)
    assert ["1e+04, is 5e+03 times" in str(each.message) for each in found] == [True] * warned


def test_data_of_large_rewards_is_warned_of_before_training(replay, monkeypatch):
    read = replay.read

    def large(name: str, start: int, stop: int) -> torch.Tensor:
        values = read(name, start, stop)
        return 1e6 * values if name == "reward" else values

    monkeypatch.setattr(replay, "read", large)
    with pytest.warns(UserWarning, match="--reward-scale"):
        make_trainer().prepare(replay, seed=0)


def test_inputs_are_standardised_by_the_training_transitions(replay):
    trainer = make_trainer()
    trainer.prepare(replay, seed=5)
    inputs = trainer.data.inputs
    torch.testing.assert_close(inputs.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(inputs.std(0, correction=0), torch.ones(3), atol=1e-4, rtol=0)


def linear_data(count: int, noise: float) -> DynamicsData:
    """Transitions of s' = s + A s + B a with reward C s, and noise of one size."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(count, 3, generator=generator)
    system = torch.tensor([[-0.2, 0.1, 0.5], [0.3, -0.4, 0.2], [0.0, 0.5, -0.3]])
    targets = inputs @ system + noise * torch.randn(count, 3, generator=generator)
    return DynamicsData(
        inputs=inputs[100:],
        targets=targets[100:],
        holdout_inputs=inputs[:100],
        holdout_targets=targets[:100],
    )


def test_the_ensemble_learns_a_linear_system_and_its_noise():
    config = DynamicsConfig(
        members=3,
        elites=2,
        hidden_layers=(32,),
        weight_decay=(1e-5, 1e-5),
        batch_size=64,
        learning_rate=5e-3,
        patience=3,
    )
    trainer = make_trainer(config)
    trainer.data, trainer.seed, noise = linear_data(1_100, 0.1), 0, 0.1
    trainer._order = torch.zeros((3, 1_000), dtype=torch.int32)
    update = 0
    while not trainer.stopped and update < 1_600:
        trainer.refresh(update)
        trainer.update()
        update += 1
    trainer.refresh(update)
    data = trainer.data
    trainer.finish()
    # The best possible error is the noise's variance, 0.01; without learning it is 0.2.
    assert float(trainer.best_error.max()) < 1.5 * noise**2
    _, log_variance = trainer.model.outputs(data.holdout_inputs.expand(3, -1, -1))
    assert float((log_variance / 2).exp().mean()) == pytest.approx(noise, rel=0.25)
