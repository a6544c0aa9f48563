"""The oracle penalty: worked by hand, and refused where there is no simulator."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch

from vrl_core.episodes import DataSpec, FieldSpec
from vrl_core.errors import VRLError
from vrl_core.protocols import EnsemblePrediction
from vrl_worldmodel import simulator
from vrl_worldmodel.penalty_config import MaxStd, TrueError
from vrl_worldmodel.simulator import TrueErrorPenalty, build_penalty, open_simulator

CPU = torch.device("cpu")


def make_spec(environment: dict[str, object] | None) -> DataSpec:
    states = {"state": FieldSpec((2,), "float32")}
    return DataSpec(task="hopper", observations=states, action_size=1, environment=environment)


def make_prediction(sample: torch.Tensor) -> EnsemblePrediction:
    mean, batch = sample.expand(3, *sample.shape), len(sample)
    member = torch.zeros(batch, dtype=torch.int64)
    std = torch.ones_like(mean)
    return EnsemblePrediction(kind="gaussian", sample=sample, member=member, mean=mean, std=std)


class Doubling(gymnasium.Env):
    """The next state is twice the state, the reward is the action."""

    def simulate(self, state: np.ndarray, action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return 2 * state, action[:, 0]


def test_the_true_error_is_of_the_drawn_state_and_reward():
    penalty = TrueErrorPenalty(Doubling().simulate)
    state, action = torch.tensor([[1.0, 2.0], [0.0, -1.0]]), torch.tensor([[0.5], [0.0]])
    # The truth is (2, 4, 0.5) and (0, -2, 0): the errors are (3, 4, 0) and (0, 0, 2).
    sample = torch.tensor([[5.0, 8.0, 0.5], [0.0, -2.0, -2.0]])
    assert penalty(make_prediction(sample), state, action).tolist() == [5.0, 2.0]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((np.zeros((2, 3)), np.zeros(2)), r"next states \(2, 3\)"),
        ((np.zeros((2, 2)), np.zeros((2, 1))), r"rewards \(2, 1\)"),
        ((np.zeros((2, 2)), np.array([0.0, np.nan])), r"no finite answer .* \[3.0, 4.0\]"),
    ],
)
def test_answers_that_do_not_fit_are_refused(answer, said):
    penalty = TrueErrorPenalty(lambda state, action: answer)
    state = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises(VRLError, match=said):
        penalty(make_prediction(torch.zeros(2, 3)), state, torch.zeros(2, 1))


def test_what_a_simulator_refuses_is_said_with_the_way_out():
    def refuse(state, action):
        raise VRLError("No patient has 1e+30 of them.")

    with pytest.raises(VRLError, match=r"No patient has .* imagined state .* --state-bound"):
        TrueErrorPenalty(refuse)(make_prediction(torch.zeros(1, 3)), *torch.zeros(2, 1, 2))


def test_the_simulator_is_found_behind_wrappers(monkeypatch):
    class Config:
        def build(self) -> gymnasium.Env:
            return gymnasium.wrappers.TimeLimit(Doubling(), 5)

    monkeypatch.setattr(simulator, "from_data", lambda kind, data, registry: Config())
    simulate = open_simulator(make_spec({"name": "doubling"}))
    assert simulate(np.ones((1, 2)), np.ones((1, 1)))[0].tolist() == [[2.0, 2.0]]
    monkeypatch.setattr(Config, "build", lambda self: gymnasium.Env())
    with pytest.raises(VRLError, match=r"no method `simulate.*max-std"):
        open_simulator(make_spec({"name": "doubling"}))


def test_an_oracle_without_a_simulator_is_refused_and_others_do_not_ask_for_one():
    with pytest.raises(VRLError, match="names no environment"):
        build_penalty(TrueError(), make_spec(None), CPU)
    with pytest.raises(VRLError, match="needs a simulator"):
        TrueError().build()
    penalty = build_penalty(MaxStd(), make_spec(None), CPU)
    prediction = make_prediction(torch.zeros(2, 3))
    found = penalty(prediction, torch.zeros(2, 2), torch.zeros(2, 1))
    torch.testing.assert_close(found, torch.full((2,), 3**0.5))
