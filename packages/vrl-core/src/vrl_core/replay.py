"""Batches without end, from wherever the store's fields lie.

Placements: `device` keeps whole fields on the device, so that drawing, stacking and summing need
no host (on a CPU the fields are the memory maps themselves: no resident copy); `stream` gathers
from the memory maps in a thread, ahead of the consumer. The batches are the same bits.
"""

from __future__ import annotations

import dataclasses
import queue
import threading
import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, overload

import numpy as np
import torch
from torch import Tensor

from vrl_core.batches import (
    Batch,
    Fields,
    Request,
    Windows,
    draw,
    find_windows,
)
from vrl_core.data_faults import DataFault, find_fault
from vrl_core.errors import VRLError, unknown_name
from vrl_core.protocols import (
    Observations,
    SequenceBatch,
    Sequences,
    TransitionBatch,
    Transitions,
)

if TYPE_CHECKING:
    from vrl_core.store import Store

Placement = Literal["auto", "device", "stream"]
PLACEMENTS = ("auto", "device", "stream")

PREFETCH = 2
"""Batches made ahead of the consumer by `stream`."""
DEVICE_SHARE = 0.6
"""Share of a GPU's free memory that a store may fill; the rest is for networks and activations."""


class BatchStream(Protocol):
    """Batches number `start`, `start + 1`, ...; `close` ends it and frees what it holds."""

    def __iter__(self) -> Iterator[Batch]: ...

    def __next__(self) -> Batch: ...

    def close(self) -> None:
        """End the stream; closing twice is allowed."""
        ...


class Replay:
    """A store as a source of batches on `device`.

    Raises `VRLError` for an unknown placement, or when `device` is asked for and the store does
    not fit the GPU's free memory.
    """

    def __init__(self, store: Store, device: torch.device, placement: Placement = "auto"):
        if placement not in PLACEMENTS:
            raise unknown_name("data placement", placement, PLACEMENTS)
        self.device = device
        self._mapped = map_fields(store)
        self.placement = _choose(placement, device, _size(self._mapped))
        self._fields = self._mapped
        if self.placement == "device" and device.type != "cpu":
            self._fields = _move_fields(self._mapped, device)

    def stream(self, request: Request, seed: int, start: int = 0) -> BatchStream:
        """Begin with batch number `start`; raises `VRLError` if no episode is long enough."""
        windows = find_windows(self._fields, request)
        if self.placement == "device":
            return DeviceStream(self._fields, windows, request, seed, start)
        return PrefetchStream(self._fields, windows, request, seed, start, self.device)

    @overload
    def batch(self, request: Sequences, seed: int, number: int) -> SequenceBatch: ...
    @overload
    def batch(
        self, request: Transitions, seed: int, number: int
    ) -> TransitionBatch[Observations]: ...
    def batch(self, request: Request, seed: int, number: int) -> Batch:
        """Return batch `number` of the stream with this seed, on the device.

        Raises `VRLError` if no episode is long enough.
        """
        windows = find_windows(self._fields, request)
        return self._to_device(draw(self._fields, windows, request, seed, number))

    def check(self, request: Request) -> None:
        """Raise `VRLError` if no episode is long enough for the request."""
        find_windows(self._fields, request)

    def find_fault(self, request: Request, seed: int, numbers: Iterable[int]) -> DataFault | None:
        """Return the first number of these batches' data that is not finite; None if all are."""
        return find_fault(self._fields, request, seed, numbers)

    @property
    def rows(self) -> int:
        """Rows of the store: T+1 for an episode of T steps."""
        return len(next(iter(self._fields.rows.values())))

    @property
    def episodes(self) -> list[tuple[int, int]]:
        """First row and steps of every episode."""
        first, steps = self._fields.first_row.tolist(), self._fields.steps.tolist()
        return list(zip(first, steps, strict=True))

    def read(self, field: str, start: int, stop: int) -> Tensor:
        """Return rows `start` to `stop` of a field, such as `observation.image`, on the device."""
        return self._fields.rows[field][start:stop].to(self.device)

    def _to_device(self, batch: Batch) -> Batch:
        moved: Batch = map_tensors(batch, lambda tensor: tensor.to(self.device))
        return moved


def map_fields(store: Store) -> Fields:
    """Return a store's fields as tensors over its memory maps."""
    with warnings.catch_warnings():
        # torch warns of read-only memory; nothing here writes to a field.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        rows = {name: torch.from_numpy(np.asarray(field)) for name, field in store.fields.items()}
    return Fields(
        rows=rows,
        first_row=torch.as_tensor(np.array(store.offsets, dtype=np.int64)),
        steps=torch.as_tensor(np.array(store.lengths, dtype=np.int64)),
    )


def _size(fields: Fields) -> int:
    return sum(rows.nbytes for rows in fields.rows.values())


def _move_fields(fields: Fields, device: torch.device) -> Fields:
    return Fields(
        rows={name: rows.to(device) for name, rows in fields.rows.items()},
        first_row=fields.first_row.to(device),
        steps=fields.steps.to(device),
    )


def _choose(placement: Placement, device: torch.device, size: int) -> Placement:
    """Settle `auto`: on the device when the store fits it; a CPU reads memory maps in place."""
    if placement == "stream" or device.type != "cuda":
        return "device" if placement == "auto" else placement
    room = int(torch.cuda.mem_get_info(device)[0] * DEVICE_SHARE)
    if size <= room:
        return "device"
    if placement == "device":
        gigabytes = f"{size / 1e9:.1f} GB, and {room / 1e9:.1f} GB of {device}'s memory may be used"
        raise VRLError(f"The store takes {gigabytes} for data. Use data placement 'stream'.")
    return "stream"


class DeviceStream:
    """Draws where the fields lie. The batch's number is a device tensor that counts itself.

    So a CUDA graph that captured `next` gets the following batch at every replay.
    """

    def __init__(self, fields: Fields, windows: Windows, request: Request, seed: int, start: int):
        self._fields, self._windows = fields, windows
        self._request, self._seed = request, seed
        self._number = torch.tensor(start, dtype=torch.int64, device=fields.device)
        self._closed = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        if self._closed:
            raise StopIteration
        batch = draw(self._fields, self._windows, self._request, self._seed, self._number)
        self._number += 1
        return batch

    def close(self) -> None:
        self._closed = True


class PrefetchStream:
    """Draws in a thread from fields in host memory, a few batches ahead.

    For a GPU the copy is from pinned memory and overlaps with the updates before it. An error in
    the thread is raised by `next`.
    """

    def __init__(
        self,
        fields: Fields,
        windows: Windows,
        request: Request,
        seed: int,
        start: int,
        device: torch.device,
    ):
        self._queue: queue.Queue[Any] = queue.Queue(maxsize=PREFETCH)
        self._closing = threading.Event()
        self._copier = _GpuCopier(device) if device.type == "cuda" else None

        def work() -> None:
            number = start
            while not self._closing.is_set():
                try:
                    item: Any = draw(fields, windows, request, seed, number)
                    item = self._copier.send(item) if self._copier else item
                except BaseException as error:  # handed to the consumer
                    item = error
                self._put(item)
                number += 1

        self._thread = threading.Thread(target=work, name="vrl-prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        if self._closing.is_set():
            raise StopIteration
        item = self._queue.get()
        if isinstance(item, BaseException):
            self.close()
            raise item
        batch: Batch = self._copier.receive(item) if self._copier else item
        return batch

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def _put(self, item: Any) -> None:
        """Wait for room, and give up when the stream is closed."""
        while not self._closing.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return
            except queue.Full:
                continue


class _GpuCopier:
    """Copies batches to a GPU on a CUDA stream of its own."""

    def __init__(self, device: torch.device):
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def send(self, batch: Batch) -> tuple[Batch, Batch, torch.cuda.Event]:
        """Start the copy; the pinned source is handed on, so that it outlives the copy."""
        pinned = map_tensors(batch, lambda tensor: tensor.contiguous().pin_memory())
        with torch.cuda.stream(self._stream):
            moved = map_tensors(pinned, lambda x: x.to(self._device, non_blocking=True))
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record(self._stream)
        return moved, pinned, done

    def receive(self, item: tuple[Batch, Batch, torch.cuda.Event]) -> Batch:
        """Make the current stream wait for the copy (the host does not)."""
        batch, _pinned, done = item
        current = torch.cuda.current_stream(self._device)
        current.wait_event(done)

        def keep(tensor: Tensor) -> Tensor:
            tensor.record_stream(current)  # its memory is the copying stream's own
            return tensor

        kept: Batch = map_tensors(batch, keep)
        return kept


def map_tensors(batch: Any, change: Any) -> Any:
    """Apply `change` to every tensor of a batch, also to those in its dictionaries."""
    if isinstance(batch, Tensor):
        return change(batch)
    if isinstance(batch, dict):
        return {name: map_tensors(value, change) for name, value in batch.items()}
    assert isinstance(batch, TransitionBatch | SequenceBatch)
    names = [field.name for field in dataclasses.fields(batch)]
    return type(batch)(**{name: map_tensors(getattr(batch, name), change) for name in names})
