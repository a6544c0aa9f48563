import pytest
import torch

from vrl_core import counter_rng

MASK = (1 << 64) - 1


def splitmix64(state: int) -> int:
    """The published algorithm on Python's unbounded integers."""
    state = (state + 0x9E3779B97F4A7C15) & MASK
    z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def test_published_first_numbers_of_seed_1234567():
    counters = torch.arange(1, 6)
    bits = [value & MASK for value in counter_rng.random_bits(1234567, counters).tolist()]
    assert bits == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@pytest.mark.parametrize("key", [0, 1, 2**63, 2**64 - 1, 0x123456789ABCDEF])
def test_bits_equal_those_of_python_integers(key):
    counters = torch.tensor([0, 1, 2, 1000, 2**31, 2**40 + 7, -1])
    expected = [
        splitmix64((key + (counter - 1) * 0x9E3779B97F4A7C15) & MASK)
        for counter in counters.tolist()
    ]
    found = [value & MASK for value in counter_rng.random_bits(key, counters).tolist()]
    assert found == expected


def test_indices_are_the_bits_modulo_the_bound():
    key = counter_rng.stream_key(7, 3)
    counters = torch.arange(4) + 5 * 4
    bits = [value & ((1 << 63) - 1) for value in counter_rng.random_bits(key, counters).tolist()]
    assert counter_rng.indices(7, 3, 5, 4, 1000).tolist() == [value % 1000 for value in bits]


def test_a_batch_number_on_the_device_gives_the_same_indices():
    number = torch.tensor(12)
    assert torch.equal(
        counter_rng.indices(0, 0, number, 64, 999), counter_rng.indices(0, 0, 12, 64, 999)
    )


def test_seeds_streams_and_batches_differ():
    draws = [
        tuple(counter_rng.indices(seed, stream, number, 8, 2**40).tolist())
        for seed in (0, 1)
        for stream in (0, 1)
        for number in (0, 1)
    ]
    assert len(set(draws)) == 8


def test_indices_are_uniform():
    counts = torch.bincount(counter_rng.indices(0, 0, 0, 100_000, 50), minlength=50).double()
    chi_squared = ((counts - 2000) ** 2 / 2000).sum()
    assert 20 < chi_squared < 100  # 49 degrees of freedom: mean 49, deviation 10


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
def test_a_gpu_draws_the_same():
    number = torch.tensor(9, device="cuda")
    found = counter_rng.indices(3, 1, number, 1000, 12345, "cuda")
    assert torch.equal(found.cpu(), counter_rng.indices(3, 1, 9, 1000, 12345))
