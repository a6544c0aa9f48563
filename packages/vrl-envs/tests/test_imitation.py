"""Imitation of teachers of parts of a task: who is asked, what is learnt, what is written."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tiny_behaviours import save_actor
from tiny_dclaw import write_model
from vrl_core.errors import VRLError
from vrl_envs.behaviours.card import read_card
from vrl_envs.behaviours.humanoid_lessons import HumanoidLessons
from vrl_envs.behaviours.imitation import (
    Imitation,
    imitate,
    imitation_loss,
    play,
    teacher_in_turn,
)
from vrl_envs.behaviours.policy import BehaviourPolicy
from vrl_envs.behaviours.presets import online_preset
from vrl_envs.collection import episode_streams
from vrl_envs.dclaw.config import DClaw, DClawDataset


@pytest.fixture(scope="module")
def assets(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("robel"))


@pytest.fixture(scope="module")
def teachers(tmp_path_factory) -> tuple[Path, Path]:
    folders = tuple(tmp_path_factory.mktemp(name) for name in ("forward", "backward"))
    for seed, folder in enumerate(folders):
        save_actor(folder / "policies" / "screw_random" / "expert.safetensors", 21, 9, seed)
    return folders


def test_loss_is_of_actions_and_of_logarithms():
    one = torch.tensor([[0.0, 6.0]]), torch.tensor([[1.0, 0.5]])
    other = torch.tensor([[0.1, 3.0]]), torch.tensor([[torch.e, 0.5]])
    # tanh(0.1) = 0.099668, tanh(6) - tanh(3) = 0.0049332: 0.5 (0.99668^2 + 0.049332^2) + 1
    assert imitation_loss(*one, *other).item() == pytest.approx(1.4979, abs=1e-4)
    assert imitation_loss(*one, *one).item() == 0


def test_who_lies_asks_the_one_that_gets_up():
    environment = HumanoidLessons(lying_share=0.0).build()
    environment.reset(seed=0)
    assert teacher_in_turn(environment) == 1  # upright
    lying = HumanoidLessons(lying_share=1.0).build()
    lying.reset(seed=0)
    for _ in range(40):
        lying.step(np.zeros(21))
    assert teacher_in_turn(lying) == 0


def test_the_teacher_of_the_episodes_direction_is_asked(assets, teachers):
    environment = DClaw(task="screw_random", observation="state", assets=assets, horizon=5).build()
    policies = tuple(
        BehaviourPolicy.read(folder / "policies" / "screw_random" / "expert.safetensors")
        for folder in teachers
    )
    asked = set()
    for index in range(6):
        seed, noise = episode_streams(0, index)
        lesson, _ = play(environment, seed, noise, policies, None)
        teacher = 0 if environment.rate >= 0 else 1
        asked.add(teacher)
        for state, mean, deviation in zip(
            lesson.states, lesson.means, lesson.deviations, strict=True
        ):
            expected = policies[teacher].distribution(state)
            np.testing.assert_allclose((mean, deviation), expected, rtol=1e-6)
    assert asked == {0, 1}


def test_the_student_becomes_like_its_teachers_and_a_behaviour(assets, teachers, tmp_path, capsys):
    config = Imitation(
        teachers=(teachers[0], teachers[0]),  # two that agree can be imitated exactly
        output=tmp_path,
        rounds=3,
        episodes=2,
        updates=150,
        batch_size=32,
        evaluation_episodes=2,
        assets=assets,
    )
    card = imitate(config)
    told = [float(line.rpartition(" ")[2]) for line in capsys.readouterr().out.splitlines()]
    assert told[-1] < 0.5 * told[0]
    path = tmp_path / "policies" / "screw_random" / "expert.safetensors"
    assert read_card(path.with_suffix(".json")) == card
    again = imitate(config)
    assert again.returns == card.returns
    data = DClawDataset(
        task="screw_random", assets=assets, behaviours=str(tmp_path), episodes=1, size=8
    )
    assert np.isfinite(data.build()[0].rewards).all()


def test_missing_teachers_are_explained(tmp_path):
    missing = (tmp_path, tmp_path)
    with pytest.raises(VRLError, match="No behaviour for screw_random 'expert' is in"):
        imitate(Imitation(teachers=missing, output=tmp_path / "student"))
    with pytest.raises(VRLError, match=r"screw_fixd.*screw_random"):
        Imitation(task="screw_fixd", teachers=missing, output=tmp_path)


def test_presets_of_the_teachers_turn_one_way(assets):
    for name, sign in (("forward", 1), ("backward", -1)):
        settings = online_preset("screw_random", name).environment
        assert settings.direction == name
        environment = DClaw(
            task="screw_random", direction=name, observation="state", assets=assets
        ).build()
        either = DClaw(task="screw_random", observation="state", assets=assets).build()
        for seed in range(8):
            environment.reset(seed=seed)
            either.reset(seed=seed)
            assert environment.rate == sign * abs(either.rate)
            assert environment.wanted == either.wanted
    with pytest.raises(VRLError, match="screw_fixed turns forward"):
        DClaw(direction="backward")
    with pytest.raises(VRLError, match=r"forward.*expert, mixed"):
        online_preset("screw_fixed", "forward")
