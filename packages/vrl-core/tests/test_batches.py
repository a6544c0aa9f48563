import pytest
import torch

from vrl_core.batches import (
    Fields,
    draw,
    find_windows,
    n_step_return,
    observation_pair,
    sequences,
    transitions,
)
from vrl_core.errors import VRLError
from vrl_core.protocols import Sequences, Transitions


def fields_of(*lengths: int) -> Fields:
    """Episodes whose pixels are (episode, step), rewards 10 episode + step, actions the step."""
    steps = torch.tensor(lengths, dtype=torch.int64)
    rows = steps + 1
    episode = torch.repeat_interleave(torch.arange(len(lengths)), rows)
    step = torch.arange(int(rows.sum())) - torch.repeat_interleave(rows.cumsum(0) - rows, rows)
    image = torch.zeros(len(step), 2, 2, 3, dtype=torch.uint8)
    image[..., 0], image[..., 1] = episode[:, None, None], step[:, None, None]
    return Fields(
        rows={
            "observation.image": image,
            "observation.state": torch.stack((episode, step), 1).float(),
            "action": step[:, None].float(),
            "reward": (10 * episode + step).float(),
            "termination": torch.zeros(len(step), dtype=torch.bool),
            "truncation": torch.zeros(len(step), dtype=torch.bool),
        },
        first_row=rows.cumsum(0) - rows,
        steps=steps,
    )


@pytest.mark.parametrize(("steps", "starts"), [(1, 10), (3, 8), (10, 1)])
def test_only_windows_inside_the_episode_are_drawn(steps, starts):
    """Fact B3: of ten steps, ten starts are valid for n = 1 and eight for n = 3."""
    windows = find_windows(fields_of(10), Transitions(batch_size=4, return_steps=steps))
    assert windows.start.tolist() == list(range(starts))


def test_windows_of_several_episodes_and_short_ones_left_out():
    windows = find_windows(fields_of(3, 1, 2), Sequences(batch_size=4, length=2))
    # rows: episode 0 has 0-3, episode 1 has 4-5, episode 2 has 6-8
    assert windows.start.tolist() == [0, 1, 6]
    assert windows.episode_start.tolist() == [0, 0, 6]


def test_no_episode_long_enough():
    with pytest.raises(VRLError, match=r"at least 5 steps.*2 episodes have 3 to 4 steps.*length"):
        find_windows(fields_of(3, 4), Sequences(batch_size=4, length=5))
    with pytest.raises(VRLError, match="no episodes"):
        find_windows(fields_of(), Transitions(batch_size=4))


def test_nonsense_is_refused():
    with pytest.raises(VRLError, match="at least 1"):
        find_windows(fields_of(3), Transitions(batch_size=4, return_steps=0))


def test_stacks_repeat_the_first_frame_and_never_cross_episodes():
    fields = fields_of(4, 4)
    image = fields.rows["observation.image"]
    start, first = torch.tensor([0, 1, 3, 5, 6]), torch.tensor([0, 0, 0, 5, 5])
    now, later = observation_pair(image, start, first, stack=3, steps=1)
    assert now[..., 0, 0, 1].tolist() == [[0, 0, 0], [0, 0, 1], [1, 2, 3], [0, 0, 0], [0, 0, 1]]
    assert later[..., 0, 0, 1].tolist() == [[0, 0, 1], [0, 1, 2], [2, 3, 4], [0, 0, 1], [0, 1, 2]]
    assert now[..., 0, 0, 0].tolist() == [[0] * 3, [0] * 3, [0] * 3, [1] * 3, [1] * 3]


@pytest.mark.parametrize("stack", [1, 2, 3])
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_shared_frames_equal_two_gathers(stack, steps):
    field = fields_of(9).rows["observation.image"]
    start, first = torch.arange(9 - steps), torch.zeros(9 - steps, dtype=torch.int64)

    def alone(last):
        rows = torch.stack([last - back for back in reversed(range(stack))], 1).clamp_min(0)
        return field[rows]

    now, later = observation_pair(field, start, first, stack, steps)
    assert torch.equal(now, alone(start))
    assert torch.equal(later, alone(start + steps))


def test_transition_alignment():
    fields = fields_of(6, 5)
    start, first = torch.tensor([2, 7]), torch.tensor([0, 7])
    request = Transitions(batch_size=2, frame_stack=2, return_steps=2, discount=0.5)
    batch = transitions(fields, start, first, request)
    assert batch.action[:, 0].tolist() == [2, 0]
    # 2 + 0.5 * 3 in episode 0; 10 + 0.5 * 11 in episode 1
    assert batch.reward.tolist() == [3.5, 15.5]
    assert batch.discount.tolist() == [0.25, 0.25]
    assert batch.observation["image"].shape == (2, 2, 2, 2, 3)
    assert batch.observation["image"][..., 0, 0, 1].tolist() == [[1, 2], [0, 0]]
    assert batch.next_observation["image"][..., 0, 0, 1].tolist() == [[3, 4], [1, 2]]
    assert batch.observation["state"].tolist() == [[0, 2], [1, 0]]
    assert batch.next_observation["state"].tolist() == [[0, 4], [1, 2]]


def test_a_termination_ends_the_return_but_a_truncation_does_not():
    fields = fields_of(5)
    fields.rows["termination"][4] = True
    fields.rows["truncation"][3] = True
    reward, discount = n_step_return(fields, torch.tensor([1, 2]), steps=3, discount=0.9)
    torch.testing.assert_close(
        reward, torch.tensor([1 + 0.9 * 2 + 0.81 * 3, 2 + 0.9 * 3 + 0.81 * 4])
    )
    torch.testing.assert_close(discount, torch.tensor([0.9**3, 0.0]))


def test_rewards_after_a_termination_do_not_count():
    fields = fields_of(4)
    fields.rows["termination"][1] = True
    reward, discount = n_step_return(fields, torch.tensor([0]), steps=4, discount=1.0)
    assert reward.tolist() == [0 + 1]
    assert discount.tolist() == [0]


def test_sequence_alignment():
    fields = fields_of(4, 3)
    start, first = torch.tensor([1, 5]), torch.tensor([0, 5])
    batch = sequences(fields, start, first, Sequences(batch_size=2, length=3))
    assert batch.observations["image"].shape == (2, 4, 2, 2, 3)
    assert batch.observations["state"].tolist() == [
        [[0, 1], [0, 2], [0, 3], [0, 4]],
        [[1, 0], [1, 1], [1, 2], [1, 3]],
    ]
    assert batch.action[..., 0].tolist() == [[1, 2, 3], [0, 1, 2]]
    assert batch.reward.tolist() == [[1, 2, 3], [10, 11, 12]]
    assert batch.termination.shape == (2, 3)
    assert batch.is_first.tolist() == [[False] * 4, [True, False, False, False]]


def test_every_window_is_drawn_equally_often():
    fields = fields_of(4, 2)
    request = Transitions(batch_size=6000)
    windows = find_windows(fields, request)
    batch = draw(fields, windows, request, seed=0, number=0)
    counts = torch.bincount(batch.reward.long(), minlength=12)
    assert counts.nonzero()[:, 0].tolist() == [0, 1, 2, 3, 10, 11]
    assert ((counts[counts > 0] - 1000).abs() < 150).all()  # deviation 29


def test_a_batch_is_a_function_of_seed_and_number():
    fields = fields_of(40, 30)
    request = Transitions(batch_size=16)
    windows = find_windows(fields, request)
    drawn = [
        draw(fields, windows, request, seed, number).reward.tolist()
        for seed, number in [(0, 5), (0, torch.tensor(5)), (0, 6), (1, 5)]
    ]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    assert drawn[0] != drawn[3]
