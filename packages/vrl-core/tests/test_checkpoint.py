import errno
import json

import pytest
import torch

from nested_state import assert_equal
from vrl_core.checkpoint import (
    STATE,
    TENSORS,
    DamagedCheckpointError,
    checkpoints,
    load_checkpoint,
    save_checkpoint,
)
from vrl_core.errors import VRLError


def optimiser_state():
    network = torch.nn.Linear(3, 2)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)
    network(torch.randn(4, 3)).sum().backward()
    optimiser.step()
    return optimiser.state_dict()


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"a": [1, 2.5, "x", None, True, (), (1, [2])], 3: {"b": -0.0, "": "ü"}},
        {"infinite": [float("inf"), float("-inf")], "tiny": 5e-324, "third": 1 / 3},
        {"tensor": "0", "list": {"tensor": torch.arange(3)}, "float": {"float": 1}},
        [torch.tensor(2.0), torch.zeros(0, 3), torch.ones(2, dtype=torch.bfloat16)],
        {"bool": torch.tensor([True, False]), "bytes": torch.arange(5, dtype=torch.uint8)},
        optimiser_state(),
    ],
)
def test_round_trip(tmp_path, state):
    path = save_checkpoint(tmp_path, 12, state)
    step, loaded = load_checkpoint(path)
    assert step == 12
    assert_equal(loaded, state)


def test_shared_and_strided_tensors(tmp_path):
    whole = torch.arange(12.0).reshape(3, 4)
    _, loaded = load_checkpoint(save_checkpoint(tmp_path, 0, [whole, whole, whole.T, whole[1]]))
    for mine, other in zip(loaded, [whole, whole, whole.T, whole[1]], strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize("value", [object(), b"x", {1.5: 0}, {True: 0}, {"a": {None: 1}}])
def test_what_it_cannot_hold_is_refused_by_place(tmp_path, value):
    with pytest.raises(VRLError, match=r"state\['part'\]\[0\]"):
        save_checkpoint(tmp_path, 1, {"part": [value]})
    assert checkpoints(tmp_path) == []


def test_nan_is_not_saved(tmp_path):
    save_checkpoint(tmp_path, 1, {"w": torch.ones(2)})
    with pytest.raises(VRLError, match=r"state\['w'\] holds NaN.*last good one is kept"):
        save_checkpoint(tmp_path, 2, {"w": torch.tensor([1.0, float("nan")])})
    assert [step for step, _ in checkpoints(tmp_path)] == [1]


def test_keeps_the_newest(tmp_path):
    for step in (5, 10, 15):
        save_checkpoint(tmp_path, step, {}, keep=2)
    assert [step for step, _ in checkpoints(tmp_path)] == [10, 15]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_00000010", "step_00000015"]


def test_a_newer_one_does_not_push_out_a_good_one(tmp_path):
    """After falling back from a damaged step 20, saving step 15 keeps 10 and 15."""
    for step in (10, 20, 15):
        save_checkpoint(tmp_path, step, {}, keep=2)
    assert [step for step, _ in checkpoints(tmp_path)] == [10, 15, 20]


def test_saving_a_step_again_replaces_it(tmp_path):
    save_checkpoint(tmp_path, 3, {"a": 1})
    path = save_checkpoint(tmp_path, 3, {"a": 2})
    assert load_checkpoint(path) == (3, {"a": 2})


@pytest.mark.parametrize("name", [TENSORS, STATE])
@pytest.mark.parametrize("place", [0.02, 0.3, 0.6, 0.97])
def test_a_flipped_bit_is_found(tmp_path, name, place):
    path = save_checkpoint(tmp_path, 3, {"w": torch.arange(100.0), "text": "abc" * 50})
    content = bytearray((path / name).read_bytes())
    content[int(len(content) * place)] ^= 4
    (path / name).write_bytes(content)
    with pytest.raises(DamagedCheckpointError):
        load_checkpoint(path)


def test_every_bit_of_the_state_file_matters(tmp_path):
    path = save_checkpoint(tmp_path, 3, {"w": torch.ones(1), "n": 1}) / STATE
    original = path.read_bytes()
    for index in range(len(original)):
        content = bytearray(original)
        content[index] ^= 1
        path.write_bytes(content)
        try:
            step, state = load_checkpoint(path.parent)
        except VRLError:
            continue
        assert (step, state["n"], state["w"].item()) == (3, 1, 1.0)


@pytest.mark.parametrize("name", [TENSORS, STATE])
def test_missing_and_truncated_files(tmp_path, name):
    path = save_checkpoint(tmp_path, 3, {"w": torch.ones(10)})
    content = (path / name).read_bytes()
    (path / name).write_bytes(content[:-1] if name == TENSORS else content[: len(content) // 2])
    with pytest.raises(DamagedCheckpointError):
        load_checkpoint(path)
    (path / name).unlink()
    with pytest.raises(DamagedCheckpointError, match="is damaged"):
        load_checkpoint(path)


def test_another_format_is_refused(tmp_path):
    path = save_checkpoint(tmp_path, 3, {})
    document = json.loads((path / STATE).read_text())
    (path / STATE).write_text(json.dumps({**document, "format": 2}))
    with pytest.raises(VRLError, match="format 2; this version of VRL reads format 1") as raised:
        load_checkpoint(path)
    assert not isinstance(raised.value, DamagedCheckpointError)


def test_what_cannot_be_read_may_be_whole(tmp_path, monkeypatch):
    path = save_checkpoint(tmp_path, 3, {})

    def fail(self):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("pathlib.Path.read_bytes", fail)
    with pytest.raises(VRLError, match=r"cannot be read: Input/output error") as raised:
        load_checkpoint(path)
    assert not isinstance(raised.value, DamagedCheckpointError)


def test_a_full_disk_leaves_the_last_one(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, 1, {"a": 1})

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(tmp_path, 2, {"a": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000001"]


def test_what_a_kill_left_is_removed_by_the_next(tmp_path):
    (tmp_path / ".step_00000004.partial").mkdir()
    save_checkpoint(tmp_path, 5, {})
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000005"]


def test_unfinished_ones_are_not_listed(tmp_path):
    (tmp_path / ".step_00000004.partial").mkdir()
    (tmp_path / "step_00000005.damaged").mkdir()
    assert checkpoints(tmp_path) == []
    assert checkpoints(tmp_path / "nowhere") == []
