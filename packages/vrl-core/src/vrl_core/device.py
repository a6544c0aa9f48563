"""Device, threads, precision, seeds, and whole updates as CUDA graphs."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vrl_core.allocator import reexec_with_allocator
from vrl_core.errors import VRLError
from vrl_core.protocols import Metrics

__all__ = [
    "Captured",
    "autocast",
    "available_cores",
    "choose_device",
    "has_fast_bfloat16",
    "load_random_state",
    "make_deterministic",
    "preserve_random_state",
    "random_state",
    "reexec_with_allocator",
    "resolve_precision",
    "seed_everything",
    "use_free_cores",
]


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of this name; `auto` is the first GPU if there is one, else the CPU.

    Raises `VRLError` for a name torch does not know and for a GPU that is not there.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda", 0) if gpus else torch.device("cpu")
    known = ["auto", "cpu", *(f"cuda:{index}" for index in range(gpus))]
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise VRLError(
            f"There is no device {name!r}. Here there are: {', '.join(known)}."
        ) from error
    if device.type not in ("cpu", "cuda") or (
        device.type == "cuda" and (device.index or 0) >= gpus
    ):
        raise VRLError(f"Device {name!r} is not available. Here there are: {', '.join(known)}.")
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def available_cores() -> int:
    """Return the cores this process may use: its affinity, less a container's quota."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no such file, or "max"
        return cores


def use_free_cores() -> int:
    """Give torch the available cores, unless OMP_NUM_THREADS says how many; return the number."""
    if not os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(available_cores())
    return torch.get_num_threads()


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware: a GPU since Ampere, AVX-512 BF16, AMX."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    # torch offers these under private names only.
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, bool)() for check in checks)


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """Return the dtype of `float32`, `bfloat16` or `auto` (bfloat16 where the hardware has it)."""
    if precision == "auto":
        return torch.bfloat16 if has_fast_bfloat16(device) else torch.float32
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if precision not in known:
        raise VRLError(f"There is no precision {precision!r}. Known: auto, {', '.join(known)}.")
    return known[precision]


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context in which an update's matrix products use this precision."""
    dtype = resolve_precision(precision, device)
    if dtype == torch.float32:
        return nullcontext()
    # An update steps weights and uses them again: a cache of cast weights would hold the old ones.
    return torch.autocast(device.type, dtype, cache_enabled=False)


def seed_everything(seed: int) -> None:
    """Seed torch (every device), NumPy's global generator and Python's."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def make_deterministic() -> None:
    """Choose deterministic kernels where torch has them, and warn where it has not."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it at its first use
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False


def random_state(device: torch.device) -> dict[str, Any]:
    """Return the state of every global generator, as a checkpoint holds it."""
    mersenne: dict[str, Any] = np.random.get_state(legacy=False)
    keys = torch.from_numpy(mersenne["state"]["key"].astype(np.int64))
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": {**mersenne, "state": {**mersenne["state"], "key": keys}},
        "python": random.getstate(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def load_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Put every global generator where `random_state` found it."""
    torch.set_rng_state(state["torch"])
    mersenne = state["numpy"]
    keys = mersenne["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state({**mersenne, "state": {**mersenne["state"], "key": keys}})
    random.setstate(state["python"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


@contextmanager
def preserve_random_state(device: torch.device) -> Iterator[None]:
    """Leave the global generators as they were found, whatever is drawn meanwhile."""
    before = random_state(device)
    try:
        yield
    finally:
        load_random_state(before, device)


class Captured:
    """A whole update as one CUDA graph: launched once instead of kernel by kernel.

    The first `warm_up` calls run as they are, on a stream of their own, so that optimisers and
    libraries allocate what they keep; the next call records and every call replays. The update
    must be replayable: no host reads, no Python state, batches drawn on the device. Replays
    overwrite the returned metrics. On a CPU, or when recording fails (`note` says why), calls just
    run the update.
    """

    def __init__(self, update: Callable[[], Metrics], device: torch.device, warm_up: int = 3):
        self._update = update
        self._device = device
        self._warm_up = warm_up if device.type == "cuda" else -1
        self._graph: torch.cuda.CUDAGraph | None = None
        self._metrics: Metrics = {}
        self.note = ""

    def __call__(self) -> Metrics:
        """Run, record or replay one update."""
        if self._graph is None:
            if self._warm_up < 0:
                return self._update()
            if self._warm_up > 0:
                return self._warm()
            self._record()
            if self._graph is None:
                return self._update()
        self._graph.replay()
        return self._metrics

    def _warm(self) -> Metrics:
        self._warm_up -= 1
        side = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(side):
            metrics = self._update()
        torch.cuda.current_stream(self._device).wait_stream(side)
        return metrics

    def _record(self) -> None:
        """Record the update; recording runs nothing, so a failure has changed no tensor."""
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._metrics = self._update()
            self._graph = graph
        except RuntimeError as error:
            self._warm_up = -1
            self.note = f"updates run kernel by kernel: {str(error).splitlines()[0]}"
            warnings.warn(f"No CUDA graph; {self.note}", RuntimeWarning, stacklevel=2)
