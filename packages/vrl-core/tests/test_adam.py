"""Adam without what a step costs around it: torch's own numbers, also after a resume."""

import copy

import torch
from torch import nn

from vrl_core.adam import Adam


def make_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def loss_of(network, step):
    generator = torch.Generator().manual_seed(step)
    return network(torch.randn(5, 3, generator=generator)).square().mean()


def groups_of(network):
    return [
        {"params": [network[0].weight, network[2].weight], "weight_decay": 0.01},
        {"params": [network[0].bias, network[2].bias], "weight_decay": 0.0},
    ]


def train_by_torch(network, optimiser, steps):
    for step in steps:
        optimiser.zero_grad()
        loss_of(network, step).backward()
        optimiser.step()


def assert_same(one, other):
    for found, wanted in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(found, wanted)


def test_steps_are_torchs_bit_for_bit_with_decay_by_group():
    network, reference = make_network(), make_network()
    optimiser = Adam(groups_of(network), learning_rate=1e-2)
    train_by_torch(reference, torch.optim.Adam(groups_of(reference), lr=1e-2, fused=True), range(5))
    for step in range(5):
        optimiser.descend(loss_of(network, step))
    assert_same(network, reference)


def test_it_goes_on_from_its_own_state_and_from_torchs():
    whole = make_network()
    train_by_torch(whole, torch.optim.Adam(whole.parameters(), lr=1e-2, fused=True), range(6))
    reference = make_network()
    torchs = torch.optim.Adam(reference.parameters(), lr=1e-2, fused=True)
    train_by_torch(reference, torchs, range(3))
    state = torchs.state_dict()
    for _ in range(2):  # first torch's state, then this class's own, each after three steps more
        network = copy.deepcopy(reference)
        optimiser = Adam(network.parameters(), learning_rate=1e-2)
        optimiser.load_state_dict(state)
        for step in range(3, 6):
            optimiser.descend(loss_of(network, step))
        assert_same(network, whole)
        again = make_network()
        first = Adam(again.parameters(), learning_rate=1e-2)
        for step in range(3):
            first.descend(loss_of(again, step))
        state = first.state_dict()
    steps = [entry["step"] for entry in state["state"].values()]
    assert {float(step) for step in steps} == {3.0}
    assert len({step.data_ptr() for step in steps}) == len(steps)  # a file refuses shared memory


def test_what_is_loaded_replaces_what_was_gathered():
    network = make_network()
    optimiser = Adam(network.parameters(), learning_rate=1e-2)
    optimiser.descend(loss_of(network, 0))
    start, state = copy.deepcopy(network), copy.deepcopy(optimiser.state_dict())
    optimiser.descend(loss_of(network, 1))
    after = copy.deepcopy(network)
    network.load_state_dict(start.state_dict())
    optimiser.load_state_dict(state)
    optimiser.descend(loss_of(network, 1))
    assert_same(network, after)
