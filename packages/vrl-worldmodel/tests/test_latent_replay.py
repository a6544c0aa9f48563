"""Latent transitions join what belongs together, and the ring of rollouts keeps the newest."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from vrl_core.episodes import DataSpec, Episode, FieldSpec
from vrl_core.hooks import DatasetConfig
from vrl_core.ingest import write_store
from vrl_core.protocols import Sequences
from vrl_core.replay import Replay
from vrl_worldmodel import latent_replay
from vrl_worldmodel.latent_replay import (
    RolloutBuffer,
    Rollouts,
    joined,
    latents_of_episodes,
    real_transitions,
)
from vrl_worldmodel.rssm import LatentState

CPU = torch.device("cpu")
LENGTHS = (3, 5, 2)
FIRST = (0, 4, 10)
"""Rows at which episodes of those lengths begin in the store."""


@dataclass(frozen=True, kw_only=True)
class UnevenDataset(DatasetConfig):
    """Episodes of 3, 5 and 2 steps; step t of episode e acts and earns e + t/10; the last ends."""

    def build(self) -> "UnevenEpisodes":
        return UnevenEpisodes()


class UnevenEpisodes:
    spec = DataSpec(
        task="uneven", observations={"image": FieldSpec((4, 4, 3), "uint8")}, action_size=1
    )

    def __len__(self) -> int:
        return len(LENGTHS)

    def __getitem__(self, index: int) -> Episode:
        steps = LENGTHS[index]
        value = (index + np.arange(steps) / 10).astype(np.float32)
        last = np.arange(steps) == steps - 1
        ends = index == 2
        image = np.zeros((steps + 1, 4, 4, 3), dtype=np.uint8)
        image[:, 0, 0, 0] = 10 * index + np.arange(steps + 1)
        return Episode(
            observations={"image": image},
            actions=value[:, None] / 10,
            rewards=value,
            terminations=last & ends,
            truncations=last & (not ends),
        )


@pytest.fixture
def replay(tmp_path):
    return Replay(write_store(UnevenDataset(), tmp_path / "store", workers=1), CPU)


def infer_sums(batch):
    """Infer "states" of the actions so far, summed, and of the row."""
    before = torch.nn.functional.pad(batch.action.cumsum(1), (0, 0, 1, 0))
    return LatentState(before, batch.rows[..., None].to(torch.float32))


def expected_sums():
    sums = []
    for index, steps in enumerate(LENGTHS):
        actions = [(index + step / 10) / 10 for step in range(steps)]
        sums += [sum(actions[:step]) for step in range(steps + 1)]
    return sums


@pytest.mark.parametrize("together", [1, 12, 1000], ids=["one by one", "two and one", "at once"])
def test_each_row_has_the_latent_of_its_own_episode(replay, monkeypatch, together) -> None:
    monkeypatch.setattr(latent_replay, "ROWS_TOGETHER", together)
    features = latents_of_episodes(replay, infer_sums)
    torch.testing.assert_close(features[:, 0], torch.arange(13.0))  # its own row
    torch.testing.assert_close(features[:, 1], torch.tensor(expected_sums()))


def test_images_reach_the_rows_they_belong_to(replay) -> None:
    def infer(batch):
        assert batch.observations["image"].dtype == torch.uint8
        seen = batch.observations["image"][..., 0, 0, 0].to(torch.float32)
        return LatentState(seen[..., None], batch.rows[..., None].to(torch.float32))

    features = latents_of_episodes(replay, infer, observations=("image",))
    wanted = [10 * index + step for index, n in enumerate(LENGTHS) for step in range(n + 1)]
    assert features[:, 1].tolist() == wanted


def test_real_transitions_stay_inside_episodes(replay) -> None:
    features = torch.arange(13.0)[:, None]
    request = Sequences(batch_size=200, length=1, observations=())
    batch = real_transitions(features, replay.batch(request, seed=0, number=0), discount=0.9)
    rows = batch.observation[:, 0]
    assert torch.equal(batch.next_observation[:, 0], rows + 1)
    # The last rows, 3, 9 and 12, begin no step; all others do.
    assert sorted(set(rows.tolist())) == [0, 1, 2, 4, 5, 6, 7, 8, 10, 11]
    episode = (rows >= 4).float() + (rows >= 10).float()
    value = episode + (rows - torch.tensor(FIRST)[episode.long()]) / 10
    torch.testing.assert_close(batch.reward, value)
    torch.testing.assert_close(batch.action[:, 0], value / 10)
    # Only the third episode ends by termination, at the step from row 11.
    assert torch.equal(batch.discount, torch.where(rows == 11, 0.0, 0.9))


def rollouts(first: int, count: int, horizon: int = 2) -> Rollouts:
    """Make rollouts numbered from `first`; step t of number n has the state 10n + t."""
    number = torch.arange(first, first + count, dtype=torch.float32)
    states = 10 * number + torch.arange(horizon + 1)[:, None]
    return Rollouts(
        reward=states[:-1] + 0.5,
        penalty=states[:-1] + 0.25,
        action=-states[:-1, :, None],
        features=states[..., None],
    )


def buffer(capacity: int = 6) -> RolloutBuffer:
    return RolloutBuffer(capacity, horizon=2, feature_size=1, action_size=1, device=CPU)


def numbers(ring: RolloutBuffer) -> list[float]:
    """Return which rollout lies in each slot."""
    return (ring.features[0, :, 0] / 10).tolist()


def test_ring_overwrites_the_oldest() -> None:
    ring = buffer()
    ring.add(rollouts(1, 2))
    assert (len(ring), ring.capacity, numbers(ring)) == (4, 6, [1, 2, 0])
    ring.add(rollouts(3, 2))
    assert (len(ring), numbers(ring)) == (6, [4, 2, 3])
    ring.add(rollouts(5, 1))
    assert (len(ring), numbers(ring)) == (6, [4, 5, 3])


def test_ring_keeps_the_last_of_more_than_fit() -> None:
    ring = buffer()
    ring.add(rollouts(1, 1))
    ring.add(rollouts(2, 5))
    assert (len(ring), sorted(numbers(ring))) == (6, [4, 5, 6])
    ring.add(rollouts(7, 1))
    assert sorted(numbers(ring)) == [5, 6, 7]


def test_capacity_is_rounded_up_to_whole_rollouts() -> None:
    assert buffer(5).capacity == 6


def test_drawn_transitions_join_the_steps_of_one_rollout() -> None:
    ring = buffer()
    ring.add(rollouts(1, 3))
    drawn = ring.draw(600, discount=0.9)
    batch, state = drawn.transitions, drawn.transitions.observation[:, 0]
    assert torch.equal(batch.next_observation[:, 0], state + 1)
    assert torch.equal(batch.action[:, 0], -state)
    assert torch.equal(batch.reward, state + 0.5)
    assert torch.equal(drawn.penalty, state + 0.25)
    assert torch.equal(batch.discount, torch.full((600,), 0.9))
    counts = Counter(state.tolist())
    assert set(counts) == {10, 11, 20, 21, 30, 31}
    assert min(counts.values()) > 60  # of 100 expected


def test_what_was_never_written_is_never_drawn() -> None:
    ring = buffer(1000)
    ring.add(rollouts(1, 2))
    assert set(ring.draw(500, 0.9).transitions.observation[:, 0].tolist()) == {10, 11, 20, 21}


def test_restored_ring_goes_on_where_it_was() -> None:
    ring = buffer()
    ring.add(rollouts(1, 4))
    saved = ring.state_dict()
    copy = RolloutBuffer.restored(saved, CPU)
    ring.add(rollouts(5, 1))
    assert numbers(copy) == [4, 2, 3]  # the state is a copy
    copy.add(rollouts(5, 1))
    for name, value in ring.state_dict().items():
        assert torch.equal(value, copy.state_dict()[name]), name


def test_joined_batches_follow_each_other() -> None:
    ring = buffer()
    ring.add(rollouts(1, 3))
    first, second = ring.draw(2, 0.9).transitions, ring.draw(3, 0.8).transitions
    both = joined(first, second)
    assert torch.equal(both.reward, torch.cat((first.reward, second.reward)))
    assert both.discount.tolist() == pytest.approx([0.9, 0.9, 0.8, 0.8, 0.8])
    assert both.next_observation.shape == (5, 1)
