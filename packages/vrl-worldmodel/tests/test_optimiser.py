"""One step by hand, the gradient's norm, and what is left alone."""

import pytest
import torch
from torch import nn

from vrl_worldmodel.optimiser import ModuleOptimiser


def module_of(*values: float) -> nn.Module:
    module = nn.Module()
    module.weight = nn.Parameter(torch.tensor(values))
    return module


def build(*modules: nn.Module, clip: float = 100.0, decay: float = 0.0, rate: float = 0.1):
    return ModuleOptimiser(modules, rate, 1e-5, decay, clip)


def test_first_step_by_hand() -> None:
    module = module_of(2.0, -4.0)
    optimiser = build(module, decay=0.01)
    norm = optimiser.step_on((module.weight * torch.tensor([3.0, 4.0])).sum())
    # Adam's first step is rate * g / (|g| + epsilon); the decay takes 1% first, whatever the rate.
    expected = [2.0 * 0.99 - 0.1 * 3 / (3 + 1e-5), -4.0 * 0.99 - 0.1 * 4 / (4 + 1e-5)]
    torch.testing.assert_close(module.weight.detach(), torch.tensor(expected))
    assert norm.item() == pytest.approx(5.0)
    assert not norm.requires_grad


def test_clip_cuts_the_norm_of_all_modules_together() -> None:
    first, second = module_of(0.0), module_of(0.0)
    optimiser = build(first, second, clip=1.0)
    norm = optimiser.step_on((3.0 * first.weight + 4.0 * second.weight).sum())
    assert norm.item() == pytest.approx(5.0)
    # The first moment is (1 - 0.9) times the gradient that Adam saw.
    moments = [optimiser.state_dict()[index]["exp_avg"].item() for index in (0, 1)]
    assert moments == pytest.approx([0.1 * 3 / 5, 0.1 * 4 / 5])


def test_two_parameters_may_share_a_gradient() -> None:
    first, second = module_of(1.0), module_of(2.0)
    optimiser = build(first, second, clip=1.0)
    optimiser.step_on((first.weight + second.weight).square().sum())  # 2 * 3 for both
    moments = [optimiser.state_dict()[index]["exp_avg"].item() for index in (0, 1)]
    assert moments == pytest.approx([0.1 / 2**0.5] * 2)


def test_a_small_gradient_is_left_as_it_is() -> None:
    module = module_of(0.0)
    optimiser = build(module, clip=1.0)
    optimiser.step_on(0.5 * module.weight.sum())
    assert optimiser.state_dict()[0]["exp_avg"].item() == pytest.approx(0.05)


def test_only_its_modules_change() -> None:
    mine, other = module_of(1.0), module_of(1.0)
    build(mine).step_on((mine.weight * other.weight).sum())
    assert mine.weight.item() != 1.0
    assert other.weight.item() == 1.0
    assert other.weight.grad is None


def test_a_rate_of_zero_changes_nothing() -> None:
    module = module_of(1.0)
    build(module, rate=0.0, decay=0.1).step_on(module.weight.sum())
    assert module.weight.item() == 1.0


def test_continues_from_its_state() -> None:
    module = module_of(1.0, 2.0)
    optimiser = build(module, decay=1e-3)

    def step(optimiser: ModuleOptimiser, module: nn.Module) -> None:
        optimiser.step_on((module.weight**3).sum())

    step(optimiser, module)
    copy = module_of(*module.weight.tolist())
    continued = build(copy, decay=1e-3)
    continued.load_state_dict(
        {
            number: {name: value.clone() for name, value in moments.items()}
            for number, moments in optimiser.state_dict().items()
        }
    )
    step(optimiser, module)
    step(continued, copy)
    assert torch.equal(module.weight, copy.weight)
