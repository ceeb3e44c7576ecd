"""Reading and encoding side by side, with bounded memory.

One thread reads; others encode what it read. On a processor each of them computes alone, on one core: batches do not wait for
each other at the end of every layer, as the threads of one batch do, and small batches, which let Cancel and the heatmap come
soon, cost hardly more than large ones. On a GPU there is one, which keeps two batches under way.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, Full, Queue, SimpleQueue
from typing import TYPE_CHECKING

import torch

from napari_wsimil.bags.prefetch import JOIN_SECONDS, TICK
from napari_wsimil.encoders import is_out_of_memory
from napari_wsimil.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from napari_wsimil.bags.batch_size import BatchSize
    from napari_wsimil.bags.order import PatchOrder
    from napari_wsimil.bags.rates import StageRates
    from napari_wsimil.encoders import Encoder
    from napari_wsimil.encoders.pending import Pending

READ_AT_ONCE = (16, 64)
"""Fewest patches read in one go, and how many where two batches are no more: neighbours share tiles."""
IN_FLIGHT = 2
"""Batches that a GPU has at once."""


@dataclass(frozen=True)
class Encoded:
    """Rows of the grid (n,) and their features (n, D) float32."""

    rows: NDArray[np.int64]
    features: NDArray[np.float32]


@dataclass(frozen=True)
class _Read:
    rows: NDArray[np.int64]
    pixels: NDArray[np.uint8]


class _Stream:
    """The threads of one run, and what lies between them."""

    def __init__(
        self,
        order: PatchOrder,
        read: Callable[[NDArray[np.int64]], NDArray[np.uint8]],
        encoder: Encoder,
        batch: BatchSize,
        rates: StageRates,
    ) -> None:
        self._order, self._read, self._encoder, self._batch, self._rates = order, read, encoder, batch, rates
        self._threads_each = torch.get_num_threads()
        self.workers = encoder_threads(encoder)
        self._ready: Queue[_Read | None] = Queue(self.workers + 1)
        self.done: SimpleQueue[Encoded | Exception | None] = SimpleQueue()
        self._stop = threading.Event()
        self._at_work = self.workers
        self._lock = threading.Lock()
        self._begun = threading.Barrier(self.workers + 1)
        self._last = 0.0
        encoding = [threading.Thread(target=self._encode_all, name="wsimil-encoder", daemon=True) for _ in range(self.workers)]
        self._threads = [threading.Thread(target=self._read_all, name="wsimil-reader", daemon=True), *encoding]

    def start(self) -> None:
        """Start all threads."""
        for thread in self._threads:
            thread.start()
        self._begun.wait()
        if self.workers > 1:
            # what each encoding thread set for itself is also what PyTorch gives to threads made later: set that back
            torch.set_num_threads(self._threads_each)

    def stop(self) -> None:
        """Let every thread end after what it is doing; wait for that a little."""
        self._stop.set()
        until = time.perf_counter() + JOIN_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.perf_counter()))

    def _read_all(self) -> None:
        try:
            while not self._stop.is_set():
                rows = self._order.take(max(self._batch.size, min(2 * self._batch.size, READ_AT_ONCE[1]), READ_AT_ONCE[0]))
                if not len(rows):
                    break
                began = time.perf_counter()
                pixels = self._read(rows)
                self._rates.record("read", len(rows), time.perf_counter() - began)
                size = self._batch.size
                for start in range(0, len(rows), size):
                    self._give(_Read(rows[start : start + size], pixels[start : start + size]))
        except Exception as error:  # noqa: BLE001 - raised where the features are waited for
            self.done.put(error)
        self._give(None)

    def _give(self, item: _Read | None) -> None:
        while not self._stop.is_set():
            with suppress(Full):
                self._ready.put(item, timeout=TICK)
                return

    def _take(self) -> _Read | None:
        while not self._stop.is_set():
            with suppress(Empty):
                item = self._ready.get(timeout=TICK)
                if item is None:
                    # for the others too
                    self._give(None)
                return item
        return None

    def _encode_all(self) -> None:
        if self.workers > 1:
            torch.set_num_threads(1)
            # asked once, a thread keeps its number, whatever others set afterwards
            torch.get_num_threads()
        self._begun.wait()
        under_way: deque[tuple[_Read, Pending, float]] = deque()
        most = IN_FLIGHT if self._encoder.device.type == "cuda" else 1
        try:
            while (item := self._take()) is not None:
                began = time.perf_counter()
                pending = self._begin(item)
                if pending is None:
                    continue
                under_way.append((item, pending, began))
                while len(under_way) >= most:
                    self._finish(*under_way.popleft())
            while under_way:
                self._finish(*under_way.popleft())
        except Exception as error:  # noqa: BLE001 - raised where the features are waited for
            self.done.put(error)
        with self._lock:
            self._at_work -= 1
            if self._at_work == 0:
                self.done.put(None)

    def _begin(self, item: _Read) -> Pending | None:
        """Begin a batch; None where it was done in halves, because memory ran out."""
        try:
            return self._encoder.begin(item.pixels)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self._halve(item, error)
            return None

    def _finish(self, item: _Read, pending: Pending, began: float) -> None:
        try:
            features = pending.features()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self._halve(item, error)
            return
        # of several under way each waits for the one before: what a batch costs is the time since that came
        now = time.perf_counter()
        seconds = now - (max(began, self._last) if self._encoder.device.type == "cuda" else began)
        self._last = now
        self._batch.record(len(item.rows), seconds)
        self._rates.record("encode", len(item.rows), seconds, self.workers)
        self.done.put(Encoded(item.rows, features))

    def _halve(self, item: _Read, error: Exception) -> None:
        """Encode a batch that was too large for the memory in halves."""
        count = len(item.rows)
        if count == 1:
            raise ModelError(
                f"There is not enough memory on {self._encoder.device} for a single patch with encoder {self._encoder.id}; "
                "close other programs, or choose a smaller encoder or the CPU."
            ) from error
        self._batch.shrink(count)
        if self._encoder.device.type == "cuda":
            torch.cuda.empty_cache()
        for part in (slice(None, count // 2), slice(count // 2, None)):
            half = _Read(item.rows[part], item.pixels[part])
            began = time.perf_counter()
            pending = self._begin(half)
            if pending is not None:
                self._finish(half, pending, began)


ONE_AT_A_TIME = 100_000_000
"""Parameters from which a processor's cores share one batch: alone, a core would take seconds for a patch."""


def encoder_threads(encoder: Encoder) -> int:
    """How many threads encode side by side: as many as PyTorch may use on a processor, one on a GPU.

    One too for a compiled program, which brings its own threads, and for networks so large that a patch takes long.
    """
    if encoder.device.type != "cpu" or encoder.compiled or encoder.parameters > ONE_AT_A_TIME:
        return 1
    return torch.get_num_threads()


@contextmanager
def streamed(
    order: PatchOrder,
    read: Callable[[NDArray[np.int64]], NDArray[np.uint8]],
    encoder: Encoder,
    batch: BatchSize,
    rates: StageRates,
) -> Iterator[Iterator[Encoded | None]]:
    """Give the patches of `order` encoded, in the order in which they are ready; None whenever `TICK` passed without any.

    Leaving the context, for whatever reason, stops all threads after what they are doing. What they raise is raised here.

    Parameters
    ----------
    order
        Hands out rows.
    read
        Rows -> (n, size, size, 3) uint8 pixels; called by one thread.
    encoder, batch, rates
        Called by several threads.
    """
    stream = _Stream(order, read, encoder, batch, rates)
    stream.start()
    try:
        yield _results(stream)
    finally:
        stream.stop()


def _results(stream: _Stream) -> Iterator[Encoded | None]:
    while True:
        try:
            found = stream.done.get(timeout=TICK)
        except Empty:
            yield None
            continue
        if found is None:
            return
        if isinstance(found, Exception):
            raise found
        yield found
