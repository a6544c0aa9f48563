"""Steps in the model: whose they are, what they cost, and when they end."""

from __future__ import annotations

import pytest
import torch

from vrl_core.errors import VRLError
from vrl_worldmodel.model_rollouts import LearnedModel, draw
from vrl_worldmodel.penalties import max_disagreement, max_std, mean_std, no_penalty
from vrl_worldmodel.terminations import never

ELITES = torch.tensor([0, 2])


class Counting:
    """Member k adds k + 1 to the state and earns 10 k; its deviations are given."""

    def __init__(self, std: torch.Tensor) -> None:
        self.std = std

    def predict(self, state: torch.Tensor, action: torch.Tensor):
        member = torch.arange(len(self.std), dtype=state.dtype)[:, None, None]
        reward = (10 * member).expand(-1, len(state), 1)
        mean = torch.cat((state + member + 1, reward), -1)
        return mean, self.std[:, None].expand_as(mean).clone()


def make_model(penalty=no_penalty, std=None, **settings) -> LearnedModel:
    std = torch.zeros(3, 2) if std is None else std
    return LearnedModel(
        ensemble=Counting(std),
        penalty=lambda prediction, state, action: penalty(prediction),
        **{"weight": 1.0, "terminated": never} | settings,
    )


def act(state: torch.Tensor) -> torch.Tensor:
    return -state


def test_every_row_is_drawn_from_an_elite_of_its_own():
    torch.manual_seed(0)
    state = torch.zeros(200, 1)
    steps = make_model().step(state, act(state), ELITES)
    moved = steps.next_state[:, 0]
    assert set(moved.tolist()) == {1.0, 3.0}  # members 0 and 2; member 1 is no elite
    torch.testing.assert_close(steps.reward, 10 * (moved - 1))
    assert 60 < int((moved == 1).sum()) < 140


def test_samples_have_the_members_mean_and_deviation():
    torch.manual_seed(0)
    mean = torch.tensor([[[1.0, 5.0]], [[9.0, 9.0]]]).expand(2, 20_000, 2)
    std = torch.tensor([[[0.5, 2.0]], [[9.0, 9.0]]]).expand(2, 20_000, 2)
    prediction = draw(mean, std, torch.tensor([0]))
    torch.testing.assert_close(prediction.sample.mean(0), mean[0, 0], atol=0.05, rtol=0)
    torch.testing.assert_close(prediction.sample.std(0), std[0, 0], atol=0.05, rtol=0)
    assert not prediction.member.any()


@pytest.mark.parametrize(
    ("penalty", "wanted"),
    [
        # Norms of the deviations, the reward's included, elite or not: 5, 13, 10.
        (max_std, 13.0),
        (mean_std, 28 / 3),
        # Means are (1, 0), (2, 10), (3, 20); their mean is (2, 10), from which the farthest is
        # sqrt(1 + 100) away.
        (max_disagreement, 101**0.5),
        (no_penalty, 0.0),
    ],
)
def test_penalties_are_of_all_members_and_of_the_reward_too(penalty, wanted):
    std = torch.tensor([[3.0, 4.0], [5.0, 12.0], [6.0, 8.0]])
    state = torch.zeros(2, 1)
    steps = make_model(penalty, std, weight=2.0, reward="mean").step(state, state, ELITES[:1])
    torch.testing.assert_close(steps.penalty, torch.full((2,), wanted))
    torch.testing.assert_close(steps.reward, torch.full((2,), 0 - 2.0 * wanted))


def test_the_reward_is_the_drawn_one_or_its_mean():
    torch.manual_seed(0)
    std, state = torch.ones(3, 2), torch.zeros(4, 1)
    elite = torch.tensor([1])
    sampled = make_model(std=std).step(state, state, elite).reward
    mean = make_model(std=std, reward="mean").step(state, state, elite).reward
    assert mean.tolist() == [10.0] * 4
    assert not torch.isclose(sampled, mean).any()


def test_rollouts_go_on_from_where_they_came_and_stop_where_they_end():
    model = make_model(terminated=lambda state: state[:, 0] >= 3)
    start = torch.tensor([[0.0], [1.0], [2.0]])
    steps = list(model.roll_out(start, act, torch.tensor([0]), length=5))
    assert [step.state[:, 0].tolist() for step in steps] == [[0, 1, 2], [1, 2], [2]]
    assert [step.terminated.tolist() for step in steps] == [
        [False, False, True],
        [False, True],
        [True],
    ]
    for step in steps:
        torch.testing.assert_close(step.action, -step.state)
        torch.testing.assert_close(step.next_state, step.state + 1)


def test_rollouts_that_never_end_have_the_length_asked_for():
    steps = list(make_model().roll_out(torch.zeros(4, 1), act, ELITES, length=3))
    assert [len(step) for step in steps] == [4, 4, 4]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_diverging_member_is_named_with_the_step(bad):
    class Diverging(Counting):
        def predict(self, state: torch.Tensor, action: torch.Tensor):
            mean, std = super().predict(state, action)
            mean[1, state[:, 0] >= 2] = bad
            return mean, std

    model = make_model()
    diverging = LearnedModel(
        ensemble=Diverging(torch.zeros(3, 2)),
        penalty=model.penalty,
        weight=1.0,
        terminated=never,
    )
    # Member 1 is no elite, but the penalty sees it.
    steps = diverging.roll_out(torch.zeros(4, 1), act, torch.tensor([0]), length=5)
    next(steps)
    next(steps)
    with pytest.raises(VRLError, match=r"Member 1 .* step 3 of a rollout .*\(4 predictions"):
        next(steps)
