import random

import numpy as np
import pytest
import torch

from vrl_core import device as devices
from vrl_core.checkpoint import load_checkpoint, save_checkpoint
from vrl_core.device import Captured
from vrl_core.errors import VRLError

CPU = torch.device("cpu")


def test_auto_takes_a_gpu_if_there_is_one():
    assert devices.choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert devices.choose_device("cpu") == CPU


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta", "cpu:x"])
def test_other_devices_are_refused(name):
    with pytest.raises(VRLError, match=r"Here there are: auto, cpu"):
        devices.choose_device(name)


def draw():
    return (torch.rand(3).tolist(), np.random.rand(3).tolist(), np.random.randn(), random.random())


def test_random_state_survives_a_checkpoint(tmp_path):
    devices.seed_everything(3)
    np.random.randn()  # leaves a second normal number in NumPy's state
    path = save_checkpoint(tmp_path, 0, devices.random_state(CPU))
    expected = draw()
    devices.seed_everything(4)
    assert draw() != expected
    devices.load_random_state(load_checkpoint(path)[1], CPU)
    assert draw() == expected


def test_random_state_is_preserved():
    devices.seed_everything(3)
    expected = draw()
    devices.seed_everything(3)
    with devices.preserve_random_state(CPU):
        draw()
    assert draw() == expected


def test_autocast_sees_weights_that_an_update_has_stepped():
    """The actor's loss in the same update asks the critic as it is after its own step."""
    weight = torch.ones(1, 1, requires_grad=True)
    with devices.autocast("bfloat16", CPU):
        torch.nn.functional.linear(torch.ones(1, 1), weight).sum().backward()
        with torch.no_grad():
            weight -= 3 * weight.grad
        assert torch.nn.functional.linear(torch.ones(1, 1), weight).item() == -2


def test_threads_respect_the_environment(monkeypatch):
    before = torch.get_num_threads()
    try:
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        assert devices.use_free_cores() == before
        monkeypatch.delenv("OMP_NUM_THREADS")
        assert devices.use_free_cores() == devices.available_cores()
    finally:
        torch.set_num_threads(before)


def test_precision():
    assert devices.resolve_precision("float32", CPU) == torch.float32
    assert devices.resolve_precision("bfloat16", CPU) == torch.bfloat16
    fast = devices.has_fast_bfloat16(CPU)
    assert devices.resolve_precision("auto", CPU) == (torch.bfloat16 if fast else torch.float32)
    with pytest.raises(VRLError, match="no precision 'half'"):
        devices.resolve_precision("half", CPU)
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        with devices.autocast(name, CPU):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_on_a_cpu_a_captured_update_just_runs():
    calls = []

    def update():
        calls.append(None)
        return {"calls": torch.tensor(len(calls))}

    captured = Captured(update, CPU)
    assert [int(captured()["calls"]) for _ in range(5)] == [1, 2, 3, 4, 5]
    assert captured.note == ""


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
def test_a_replayed_update_equals_an_eager_one():
    device = torch.device("cuda", 0)

    def train(capture):
        devices.seed_everything(0)
        network = torch.nn.Linear(4, 4).to(device)
        optimiser = torch.optim.Adam(network.parameters(), lr=1e-2, capturable=True)
        number = torch.zeros((), dtype=torch.int64, device=device)

        def update():
            loss = (network(torch.rand(8, 4, device=device) + number) - 1).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            number.add_(1)
            return {"loss": loss.detach()}

        step = Captured(update, device) if capture else update
        losses = [step()["loss"].item() for _ in range(10)]
        assert int(number) == 10
        if capture:
            assert step.note == ""
            assert step._graph is not None
        return losses

    assert train(capture=True) == pytest.approx(train(capture=False), rel=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
def test_an_update_that_reads_the_host_falls_back():
    device = torch.device("cuda", 0)
    total = torch.zeros((), device=device)

    def update():
        total.add_(1)
        return {"total": torch.tensor(total.item())}

    captured = Captured(update, device, warm_up=1)
    with pytest.warns(RuntimeWarning, match="kernel by kernel"):
        values = [float(captured()["total"]) for _ in range(4)]
    assert values == [1, 2, 3, 4]
