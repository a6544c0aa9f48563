"""What VRL expects of an algorithm."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vrl_core.hooks import AlgorithmConfig
from vrl_core.testing.expectations import expect, expect_pickles
from vrl_core.testing.tiny_data import tiny_data

if TYPE_CHECKING:
    from vrl_core.episodes import DataSpec
    from vrl_core.protocols import Algorithm, Phase, Policy
    from vrl_core.store import Store


def check_algorithm(
    config: AlgorithmConfig,
    *,
    updates: int = 3,
    image_size: int | None = 64,
    cameras: tuple[str, ...] = ("image",),
    state_size: int | None = None,
    steps: int = 60,
    seed: int = 0,
) -> None:
    """Check an algorithm by training it for a few updates on tiny data, on the CPU.

    Every phase must run and return finite, detached scalars; the same seed must give the same
    metrics; loading a checkpoint must continue exactly as if there had been no stop; the policy
    must act within [-1, 1], the same for the same observations, each environment by itself.

    Args:
        config: The algorithm, as small as it will go; a batch of 256 images is slow.
        updates: Updates of each phase, before and after the checkpoint.
        image_size: Height and width of the images; none for an algorithm on states.
        cameras: Names of the image fields.
        state_size: Numbers in a state; none for an algorithm on images.
        steps: Steps of an episode; more than the algorithm's windows are long.
        seed: Seed of everything.

    Raises `ConformanceError`, and whatever the algorithm raises.
    """
    import torch

    expect_pickles(config)
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
        store = tiny_data(
            Path(folder) / "store",
            image_size=image_size,
            cameras=cameras,
            state_size=state_size,
            steps=steps,
        )
        trained = _build(config, store, seed)
        _check_phases(trained.phases)
        metrics = _check_training(config, trained, store, updates, seed, Path(folder))
        _check_repeats(config, metrics, store, updates, seed)
        check_policy(trained.policy(), store.spec)


def check_policy(policy: Policy, spec: DataSpec, *, environments: int = 3, steps: int = 4) -> None:
    """Check that a policy acts as `check_algorithm` expects, on observations of this spec."""
    import numpy as np

    observations = [_observations(spec, environments, step) for step in range(steps)]
    actions = _acted(policy, observations, environments)
    wanted = (steps, environments, spec.action_size)
    expect(
        actions.shape == wanted and actions.dtype == np.float32,
        f"actions must be float32 {wanted[1:]}, not {actions.dtype} {actions.shape[1:]}",
    )
    expect(np.isfinite(actions).all(), "the policy's actions hold NaN or infinity")
    expect(np.abs(actions).max() <= 1, f"the policy's actions leave [-1, 1]: {actions}")
    again = _acted(policy, observations, environments)
    expect(np.array_equal(actions, again), "the policy acts differently on the same observations")
    for lane in range(environments):
        own = [{n: v[lane : lane + 1] for n, v in o.items()} for o in observations]
        alone = _acted(policy, own, 1)[:, 0]
        # Sums of another batch size may differ in the last bits, in bfloat16 by more.
        close = np.allclose(alone, actions[:, lane], atol=2e-2)
        expect(close, "a policy's action depends on the other environments in the batch")


def _build(config: AlgorithmConfig, store: Store, seed: int) -> Algorithm:
    import torch

    torch.manual_seed(seed)
    return config.build(store.spec, torch.device("cpu"))


def _check_phases(phases: Sequence[Phase]) -> None:
    expect(len(phases) >= 1, "an algorithm has at least one phase")
    names = [phase.name for phase in phases]
    expect(len(set(names)) == len(names), f"phases must have different names, not {names}")
    for phase in phases:
        expect(phase.steps >= 1, f"phase {phase.name} has {phase.steps} steps")


def _check_training(
    config: AlgorithmConfig,
    trained: Algorithm,
    store: Store,
    updates: int,
    seed: int,
    folder: Path,
) -> list[dict[str, float]]:
    """Run every phase; after each, load a checkpoint elsewhere and compare how both go on."""
    import torch

    history: list[dict[str, float]] = []
    for number, phase in enumerate(trained.phases):
        history += _run(phase, store, updates, seed)
        resumed = _reloaded(config, trained, store, seed, folder / phase.name)
        random = torch.get_rng_state()
        without_stop = _run(trained.phases[number], store, updates, seed, start=updates)
        torch.set_rng_state(random)
        with_stop = _run(resumed.phases[number], store, updates, seed, start=updates)
        where = f"phase {phase.name}, after loading a checkpoint"
        expect(
            without_stop == with_stop,
            f"{where}: metrics are {with_stop}, without a stop {without_stop}",
        )
        _expect_same(trained.state_dict(), resumed.state_dict(), where, "state")
    return history


def _run(
    phase: Phase, store: Store, updates: int, seed: int, start: int = 0
) -> list[dict[str, float]]:
    import torch

    from vrl_core.replay import Replay
    from vrl_core.train import prepare_phase, refresh_phase

    replay = Replay(store, torch.device("cpu"))
    prepare_phase(phase, replay, seed)
    history = []
    with closing(replay.stream(phase.batches, seed, start)) as stream:
        for number, batch in enumerate(itertools.islice(stream, updates), start):
            refresh_phase(phase, number)
            history.append(_checked_metrics(phase.update(batch), phase.name))
    return history


def _checked_metrics(metrics: Any, phase: str) -> dict[str, float]:
    import torch

    expect(isinstance(metrics, dict) and metrics, f"phase {phase}: update() must return metrics")
    for name, value in metrics.items():
        scalar = isinstance(value, torch.Tensor) and value.ndim == 0
        expect(scalar, f"phase {phase}: metric {name} must be a tensor without axes, not {value!r}")
        expect(not value.requires_grad, f"phase {phase}: metric {name} must be detached")
        expect(value.isfinite(), f"phase {phase}: metric {name} is {float(value)}")
    return {name: float(value) for name, value in metrics.items()}


def _check_repeats(
    config: AlgorithmConfig, metrics: list[dict[str, float]], store: Store, updates: int, seed: int
) -> None:
    fresh = _build(config, store, seed)
    again = _run(fresh.phases[0], store, updates, seed)
    first = metrics[:updates]
    expect(again == first, f"the same seed gives other metrics: {again}, before {first}")


def _reloaded(
    config: AlgorithmConfig, trained: Algorithm, store: Store, seed: int, folder: Path
) -> Algorithm:
    """Return a copy that went through a checkpoint on disk, begun from another seed."""
    import torch

    from vrl_core.checkpoint import load_checkpoint, save_checkpoint

    random = torch.get_rng_state()
    _, state = load_checkpoint(save_checkpoint(folder, 1, trained.state_dict()))
    copy = _build(config, store, seed + 1)
    copy.load_state_dict(state)
    torch.set_rng_state(random)
    _expect_same(trained.state_dict(), copy.state_dict(), "loading a checkpoint", "state")
    return copy


def _expect_same(was: Any, now: Any, where: str, path: str) -> None:
    import torch

    if isinstance(was, Mapping):
        expect(was.keys() == now.keys(), f"{where}: {path} has other keys")
        for key in was:
            _expect_same(was[key], now[key], where, f"{path}.{key}")
    elif isinstance(was, list | tuple):
        expect(len(was) == len(now), f"{where}: {path} has another length")
        for index, (one, other) in enumerate(zip(was, now, strict=True)):
            _expect_same(one, other, where, f"{path}[{index}]")
    elif isinstance(was, torch.Tensor):
        expect(torch.equal(was, now), f"{where}: {path} differs")
    else:
        expect(was == now, f"{where}: {path} is {now!r}, not {was!r}")


def _observations(spec: DataSpec, environments: int, seed: int) -> dict[str, Any]:
    import numpy as np

    random = np.random.default_rng(seed)
    observations = {}
    for name, field in spec.observations.items():
        shape = (environments, *field.shape)
        noise = (
            random.integers(0, 256, shape) if field.dtype == "uint8" else random.normal(size=shape)
        )
        observations[name] = noise.astype(field.dtype)
    return observations


def _acted(policy: Policy, observations: Sequence[Mapping[str, Any]], environments: int) -> Any:
    """Return the actions `(step, environment, action)` of fresh episodes."""
    import numpy as np

    state = policy.start(environments)
    actions = []
    for observation in observations:
        action, state = policy.act(observation, state)
        expect(isinstance(action, np.ndarray), f"act() must return an array, not {type(action)}")
        actions.append(np.array(action))
    return np.stack(actions)
