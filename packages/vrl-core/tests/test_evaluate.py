"""Evaluation: the right returns, the same for any number of workers, and no silent failures."""

from collections.abc import Mapping

import gymnasium
import numpy as np
import pytest

from counter_environment import Counter, Counting
from vrl_core.errors import VRLError
from vrl_core.evaluate import EvaluationPool, RandomPolicy, episode_seed, evaluate


class Remembering:
    """Its action is the number of steps it remembers, in tenths: a policy with memory."""

    def start(self, environments: int) -> np.ndarray:
        return np.zeros(environments)

    def act(self, observations: Mapping[str, np.ndarray], state: np.ndarray):
        assert all(len(rows) == len(state) for rows in observations.values())
        action = np.zeros((len(state), 2), np.float32)
        action[:, 0] = state / 10
        return action, state + 1


def lengths_of(seed: int, episodes: int) -> list[int]:
    seeds = [episode_seed(seed, episode) for episode in range(episodes)]
    return [int(gymnasium.utils.seeding.np_random(s)[0].integers(3, 9)) for s in seeds]


@pytest.mark.parametrize("sees", ["image", "state", "both"])
def test_returns_and_lengths_are_those_worked_by_hand(sees: str) -> None:
    result = evaluate(Remembering(), Counter(sees=sees), episodes=5, seed=3, workers=0)
    lengths = lengths_of(3, 5)
    assert result.lengths.tolist() == lengths
    # Steps 1 + ... + T, and actions 0 + 0.1 + ... + (T - 1) / 10.
    expected = [t * (t + 1) / 2 + t * (t - 1) / 20 for t in lengths]
    np.testing.assert_allclose(result.returns, expected, rtol=1e-6)
    assert result.seeds.tolist() == [episode_seed(3, episode) for episode in range(5)]
    assert result.successes is None


def test_results_do_not_depend_on_the_number_of_workers() -> None:
    # More episodes than lanes, so that several waves run.
    results = []
    for workers in (0, 1, 3):
        with EvaluationPool(Counter(tells_success=True), workers=workers, lanes=4) as pool:
            results.append(pool.evaluate(Remembering(), episodes=6, seed=1, record=5))
            again = pool.evaluate(Remembering(), episodes=6, seed=1, record=5)
            assert again.returns.tolist() == results[-1].returns.tolist()
    first = results[0]
    assert first.frames_per_second == 20
    for other in results[1:]:
        assert other.to_data() == first.to_data()
        assert len(other.frames) == len(first.frames) == 5
        for mine, theirs in zip(first.frames, other.frames, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_recorded_frames_are_those_of_the_episode_from_reset_to_end() -> None:
    result = evaluate(Remembering(), Counter(), episodes=3, seed=0, workers=0, record=2)
    for frames, length in zip(result.frames, result.lengths, strict=False):
        assert frames.shape == (length + 1, 4, 6, 3)
        assert frames[:, 0, 0, 0].tolist() == list(range(length + 1))
    assert len(result.frames) == 2


def test_frames_of_an_environment_without_images_are_its_renderings() -> None:
    result = evaluate(Remembering(), Counter(sees="state"), episodes=1, seed=0, workers=0, record=1)
    length = int(result.lengths[0])
    assert result.frames[0][:, 0, 0, 0].tolist() == [100 + step for step in range(length + 1)]


def test_success_is_any_step_that_reports_it() -> None:
    result = evaluate(Remembering(), Counter(tells_success=True), episodes=4, seed=0, workers=0)
    assert result.successes is not None
    assert result.successes.tolist() == [True] * 4  # reported at step 2, false again at the end


def test_neighbouring_seeds_share_no_episode() -> None:
    seeds = [episode_seed(seed, episode) for seed in range(20) for episode in range(50)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_a_worker_that_dies_is_reported_and_does_not_hang() -> None:
    with pytest.raises(VRLError, match=r"died \(killed by signal SIGKILL\)"):
        evaluate(Remembering(), Counter(dies_at=2), episodes=2, seed=0, workers=2)


def test_an_environments_own_error_reaches_the_reader_with_its_traceback() -> None:
    with pytest.raises(VRLError, match="ValueError: the gripper came off") as caught:
        evaluate(Remembering(), Counter(fails_at=1), episodes=1, seed=0, workers=1)
    assert "in step" in caught.value.__notes__[0]


def test_a_pool_closes_itself_after_a_failure() -> None:
    pool = EvaluationPool(Counter(nan_at=2), workers=0)
    with pytest.raises(VRLError, match="reward is nan at step 1 of evaluation episode 0"):
        pool.evaluate(Remembering(), episodes=1, seed=0)
    with pytest.raises(VRLError, match="closed"):
        pool.evaluate(Remembering(), episodes=1, seed=0)


class Wrong(Remembering):
    def __init__(self, action: np.ndarray) -> None:
        self.action = action

    def act(self, observations, state):
        return self.action, state


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (np.zeros((2, 6)), r"shape \(2, 6\).*need \(2, 2\).*another task"),
        (np.array([[0, 0], [0, np.nan]]), r"chose the action \[ 0. nan\] at step 0"),
    ],
)
def test_actions_that_cannot_be_taken_are_refused(action: np.ndarray, words: str) -> None:
    with pytest.raises(VRLError, match=words):
        evaluate(Wrong(action), Counter(), episodes=2, seed=0, workers=0)


def test_spaces_that_cannot_be_used_are_refused() -> None:
    class Wide(Counting):
        action_space = gymnasium.spaces.Box(-2, 2, (2,), np.float32)

    class Config(Counter):
        def build(self) -> gymnasium.Env:
            return Wide(self)

    with pytest.raises(VRLError, match="RescaleAction"):
        EvaluationPool(Config(), workers=0)


def test_no_episodes_are_refused() -> None:
    with pytest.raises(VRLError, match="at least 1"):
        evaluate(Remembering(), Counter(), episodes=0, seed=0, workers=0)


def test_the_random_policy_is_uniform_and_its_seed_reproduces_it() -> None:
    observations = {"image": np.zeros((1000, 2, 2, 3), np.uint8)}
    actions, _ = RandomPolicy(2, seed=5).act(observations, None)
    again, _ = RandomPolicy(2, seed=5).act(observations, None)
    np.testing.assert_array_equal(actions, again)
    assert actions.dtype == np.float32
    assert actions.shape == (1000, 2)
    # Moments of the uniform distribution on [-1, 1]: 0 and 1/3, within four standard errors.
    assert abs(actions.mean()) < 4 * np.sqrt(1 / 3 / 2000)
    assert abs((actions**2).mean() - 1 / 3) < 4 * np.sqrt(4 / 45 / 2000)
