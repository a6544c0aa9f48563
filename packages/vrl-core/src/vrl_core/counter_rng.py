"""A counter-based random generator: any number of a stream can be had without those before it.

Number `counter` of a stream is SplitMix64's output at state `key + counter * GOLDEN` (Steele, Lea
and Flood, "Fast Splittable Pseudorandom Number Generators", 2014). Everything is 64-bit integer
arithmetic that wraps, so a CPU and a GPU agree bit for bit, and a batch is a pure function of
(seed, stream, number). The counter may be a tensor on the device: nothing waits for the host, and
a captured CUDA graph draws fresh numbers at each replay.
"""

from __future__ import annotations

import torch
from jaxtyping import Int64
from torch import Tensor

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB


def _signed(value: int) -> int:
    """Read 64 bits as a signed number, the only kind torch multiplies on every device."""
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


def _shift_right(bits: Tensor, places: int) -> Tensor:
    """Shift in zeros; torch's own shift of int64 copies the sign."""
    return (bits >> places) & ((1 << (64 - places)) - 1)


def mix(value: int) -> int:
    """SplitMix64's finaliser on one Python integer, in [0, 2^64)."""
    value &= _MASK
    value = ((value ^ (value >> 30)) * _FIRST) & _MASK
    value = ((value ^ (value >> 27)) * _SECOND) & _MASK
    return value ^ (value >> 31)


def stream_key(seed: int, stream: int) -> int:
    """Return the state from which a stream of a seed counts."""
    return mix(mix(seed + _GOLDEN) ^ mix(stream + 2 * _GOLDEN))


def random_bits(key: int, counters: Int64[Tensor, "*shape"]) -> Int64[Tensor, "*shape"]:
    """Return 64 random bits for each counter."""
    bits = counters * _signed(_GOLDEN) + _signed(key)
    bits = (bits ^ _shift_right(bits, 30)) * _signed(_FIRST)
    bits = (bits ^ _shift_right(bits, 27)) * _signed(_SECOND)
    return bits ^ _shift_right(bits, 31)


def indices(
    seed: int,
    stream: int,
    batch_number: int | Tensor,
    size: int,
    upper: int,
    device: torch.device | str = "cpu",
) -> Int64[Tensor, " size"]:
    """Draw `size` numbers uniformly from [0, upper), with replacement.

    The lowest 63 bits modulo `upper`: the bias is below upper / 2^63. `batch_number` is an
    integer or a scalar int64 tensor on `device`.
    """
    counters = torch.arange(size, device=device) + batch_number * size
    return (random_bits(stream_key(seed, stream), counters) & ((1 << 63) - 1)) % upper
