"""What the tests of updates call a read on the host."""

import pytest
import torch

HALVES = torch.tensor([0.5, 1.5])
MASK = HALVES > 1

WAITING = {
    "item": lambda: HALVES[0].item(),
    "branch": lambda: bool(HALVES[0] > 0),
    "mask": lambda: HALVES[MASK],
    "assigned by mask": lambda: HALVES.clone().__setitem__(MASK, 0.0),
    "masked_select": lambda: HALVES.masked_select(MASK),
    "nonzero": lambda: HALVES.nonzero(),
    "where without values": lambda: torch.where(MASK),
    "unique": lambda: HALVES.unique(),
    "copy from the host": lambda: torch.tensor([1.0, 2.0]),
}


@pytest.mark.parametrize("name", WAITING)
def test_what_waits_is_refused(name, no_host_reads) -> None:
    with pytest.raises(AssertionError, match="aten::"), no_host_reads():
        WAITING[name]()


def test_what_stays_on_the_device_is_not(no_host_reads) -> None:
    with no_host_reads():
        rows = torch.randint(2, (5,))
        assert HALVES[rows].shape == (5,)
        assert torch.where(MASK, HALVES, 0.0).masked_fill(MASK, 1.0).shape == (2,)
