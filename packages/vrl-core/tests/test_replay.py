import warnings
from contextlib import closing
from itertools import islice

import pytest
import torch

from vrl_core.errors import VRLError
from vrl_core.protocols import Sequences, Transitions
from vrl_core.replay import Replay, map_fields, map_tensors

REQUESTS = [
    Transitions(batch_size=7, frame_stack=3, return_steps=1),
    Transitions(batch_size=7, frame_stack=2, return_steps=3),
    Sequences(batch_size=5, length=4),
]
CPU = torch.device("cpu")


def take(replay, request, count, start=0, seed=3):
    with closing(replay.stream(request, seed, start=start)) as stream:
        return list(islice(stream, count))


def tensors_of(batch):
    found = []
    map_tensors(batch, lambda tensor: found.append(tensor.cpu()) or tensor)
    return found


def assert_same(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others, strict=True):
        pairs = list(zip(tensors_of(batch), tensors_of(other), strict=True))
        assert len(pairs) >= 5
        for mine, theirs in pairs:
            assert mine.dtype == theirs.dtype
            assert torch.equal(mine, theirs)


@pytest.mark.parametrize("request_", REQUESTS, ids=["stack", "n-step", "sequences"])
def test_placements_give_the_same_batches(counting_store, request_):
    mapped = take(Replay(counting_store, CPU, "device"), request_, 4)
    assert_same(mapped, take(Replay(counting_store, CPU, "stream"), request_, 4))
    assert_same(mapped, take(Replay(counting_store, CPU, "auto"), request_, 4))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
@pytest.mark.parametrize("placement", ["device", "stream", "auto"])
@pytest.mark.parametrize("request_", REQUESTS, ids=["stack", "n-step", "sequences"])
def test_a_gpu_gets_the_same_batches(counting_store, request_, placement):
    mapped = take(Replay(counting_store, CPU), request_, 4)
    batches = take(Replay(counting_store, torch.device("cuda", 0), placement), request_, 4)
    assert batches[0].action.is_cuda
    assert_same(mapped, batches)


@pytest.mark.parametrize("placement", ["device", "stream"])
def test_starting_later_continues_the_same_batches(counting_store, placement):
    replay = Replay(counting_store, CPU, placement)
    assert_same(take(replay, REQUESTS[0], 5)[3:], take(replay, REQUESTS[0], 2, start=3))


@pytest.mark.parametrize("placement", ["device", "stream"])
@pytest.mark.parametrize("request_", REQUESTS, ids=["stack", "n-step", "sequences"])
def test_a_single_batch_is_the_streams(counting_store, request_, placement):
    replay = Replay(counting_store, CPU, placement)
    assert_same([replay.batch(request_, 3, 2)], take(replay, request_, 1, start=2))


def test_rows_episodes_and_fields_can_be_read(counting_store):
    replay = Replay(counting_store, CPU)
    assert replay.episodes == [(0, 6), (7, 7), (15, 8)]
    assert replay.rows == 24
    frames = replay.read("observation.image", 5, 9)
    assert frames.shape == (4, 16, 16, 3)
    assert frames[:, 0, 0, :2].tolist() == [[0, 5], [0, 6], [1, 0], [1, 1]]


def test_sequences_know_their_rows_and_may_leave_observations_out(counting_store):
    replay = Replay(counting_store, CPU)
    whole = replay.batch(Sequences(batch_size=5, length=4), 3, 0)
    bare = replay.batch(Sequences(batch_size=5, length=4, observations=()), 3, 0)
    some = replay.batch(Sequences(batch_size=5, length=4, observations=("state",)), 3, 0)
    assert bare.observations == {}
    assert list(some.observations) == ["state"]
    assert torch.equal(some.observations["state"], whole.observations["state"])
    for name in ("action", "reward", "termination", "is_first", "rows"):
        assert torch.equal(getattr(bare, name), getattr(whole, name))
    images = replay.read("observation.image", 0, replay.rows)
    assert torch.equal(images[whole.rows], whole.observations["image"])
    assert whole.rows.dtype == torch.int64


def test_pixels_prove_the_alignment(counting_store):
    """Pixels hold (episode, step), rewards are step + episode / 8, actions step / 100."""
    request = Transitions(batch_size=64, frame_stack=3, return_steps=1)
    (batch,) = take(Replay(counting_store, CPU), request, 1)
    episode, step = batch.observation["image"][:, -1, 0, 0, :2].float().unbind(1)
    torch.testing.assert_close(batch.reward, step + episode / 8)
    torch.testing.assert_close(batch.action[:, 0], step / 100)
    assert torch.equal(batch.observation["state"][:, 0], step)
    following = batch.next_observation["image"][:, :, 0, 0].float()
    assert torch.equal(following[:, -1, 1], step + 1)
    assert torch.equal(following[:, -1, 0], episode)
    assert torch.equal(batch.observation["image"][:, 0, 0, 0, 1].float(), (step - 2).clamp_min(0))


def test_the_fields_are_the_memory_maps(counting_store):
    fields = map_fields(counting_store)
    for name, rows in fields.rows.items():
        assert rows.data_ptr() == counting_store.fields[name].ctypes.data


def test_mapping_warns_of_nothing(counting_store):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        map_fields(counting_store)


@pytest.mark.parametrize("placement", ["device", "stream"])
def test_a_closed_stream_ends(counting_store, placement):
    stream = Replay(counting_store, CPU, placement).stream(REQUESTS[0], 0)
    next(stream)
    stream.close()
    stream.close()
    with pytest.raises(StopIteration):
        next(stream)


def test_an_error_in_the_thread_reaches_the_consumer(counting_store, monkeypatch):
    def broken(*arguments):
        raise OSError("disk gone")

    monkeypatch.setattr("vrl_core.replay.draw", broken)
    with (
        closing(Replay(counting_store, CPU, "stream").stream(REQUESTS[0], 0)) as stream,
        pytest.raises(OSError, match="disk gone"),
    ):
        next(stream)


def test_unknown_placement(counting_store):
    with pytest.raises(VRLError, match="Did you mean 'stream'"):
        Replay(counting_store, CPU, "steam")


def test_too_short_episodes(counting_store):
    with pytest.raises(VRLError, match="3 episodes have 6 to 8 steps"):
        Replay(counting_store, CPU).stream(Sequences(batch_size=2, length=50), 0)
