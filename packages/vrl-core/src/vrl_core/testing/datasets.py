"""What VRL expects of a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vrl_core.hooks import DatasetConfig
from vrl_core.testing.expectations import expect, expect_pickles

if TYPE_CHECKING:
    from vrl_core.episodes import Dataset, DataSpec, Episode


def check_dataset(config: DatasetConfig, *, episodes: int = 3, spawn: bool = True) -> None:
    """Check the first and last episodes of a dataset.

    Expects T+1 observations to T actions, the shapes and dtypes of the spec, finite numbers,
    actions in [-1, 1], and at most one end, at the end. `dataset[i]` must be the same in any
    order, from another instance, and (`spawn`) in another process. Raises `ConformanceError`.
    """
    expect_pickles(config)
    dataset = config.build()
    count = len(dataset)
    expect(count > 0, "the dataset has no episodes")
    _check_spec(dataset.spec)
    chosen = sorted({*range(min(episodes, count)), count - 1})
    prints = {}
    for index in chosen:
        episode = dataset[index]
        _check_episode(episode, dataset.spec, f"episode {index}")
        prints[index] = fingerprint(episode)
    again = config.build()
    for index in reversed(chosen):
        same = fingerprint(again[index]) == prints[index]
        expect(same, f"dataset[{index}] differs when asked for in another order; it must be pure")
    if spawn:
        expect(
            _in_another_process(config, chosen[-1]) == prints[chosen[-1]],
            f"dataset[{chosen[-1]}] differs in another process; seed it from its index alone",
        )
    _check_end(dataset)


def fingerprint(episode: Episode) -> str:
    """Return a hash of all numbers of an episode."""
    import hashlib

    import numpy as np

    digest = hashlib.sha256()
    for name in sorted(episode.observations):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(episode.observations[name]).tobytes())
    for name in ("actions", "rewards", "terminations", "truncations"):
        digest.update(np.ascontiguousarray(getattr(episode, name)).tobytes())
    return digest.hexdigest()


def _check_spec(spec: DataSpec) -> None:
    expect(spec.observations, "the spec names no observation field")
    expect(spec.action_size >= 1, f"the spec's action_size is {spec.action_size}")
    for name, field in spec.observations.items():
        if name == "image":
            expect(
                field.dtype == "uint8" and len(field.shape) == 3 and field.shape[-1] in (1, 3),
                f"an image row is (height, width, channel) uint8, not {field}",
            )


def _check_episode(episode: Episode, spec: DataSpec, where: str) -> None:
    import numpy as np

    steps = len(episode.actions)
    expect(steps >= 1, f"{where} has no steps")
    names = set(episode.observations)
    expect(names == set(spec.observations), f"{where} has the observations {sorted(names)}")
    for name, field in spec.observations.items():
        wanted = ((steps + 1, *field.shape), field.dtype)
        _check_array(episode.observations[name], *wanted, f"{where}: observation {name}")
    _check_array(episode.actions, (steps, spec.action_size), "float32", f"{where}: actions")
    _check_array(episode.rewards, (steps,), "float32", f"{where}: rewards")
    for name in ("terminations", "truncations"):
        flags = getattr(episode, name)
        _check_array(flags, (steps,), "bool", f"{where}: {name}")
        expect(not flags[:-1].any(), f"{where}: {name} is set before the last step")
    expect(np.abs(episode.actions).max() <= 1, f"{where}: actions leave [-1, 1]")


def _check_array(array: Any, shape: tuple[int, ...], dtype: str, where: str) -> None:
    import numpy as np

    expect(isinstance(array, np.ndarray), f"{where} must be a NumPy array, not {type(array)}")
    expect(
        array.shape == shape and array.dtype == dtype,
        f"{where} must be {dtype} {shape}, not {array.dtype} {array.shape}",
    )
    expect(np.isfinite(array).all(), f"{where} holds NaN or infinity")


def _check_end(dataset: Dataset) -> None:
    """Expect an `IndexError` after the last episode, on which iteration rests."""
    try:
        dataset[len(dataset)]
    except IndexError:
        return
    expect(False, f"dataset[{len(dataset)}] must raise IndexError: it is behind the last episode")


def _in_another_process(config: DatasetConfig, index: int) -> str:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_fingerprint_of, config, index).result()


def _fingerprint_of(config: DatasetConfig, index: int) -> str:
    return fingerprint(config.build()[index])
