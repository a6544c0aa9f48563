"""Comparing nested states exactly."""

import torch


def assert_equal(left: object, right: object) -> None:
    """Require equal structure, types, order of keys, dtypes and bits."""
    assert type(left) is type(right)
    if isinstance(left, torch.Tensor):
        assert left.dtype == right.dtype
        assert torch.equal(left, right)
    elif isinstance(left, dict):
        assert list(left) == list(right)
        for key in left:
            assert_equal(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for mine, other in zip(left, right, strict=True):
            assert_equal(mine, other)
    else:
        assert left == right
