"""Work in a thread ahead of whoever takes its results."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from napari_wsimil.bags.batch_size import BatchSize

Item = TypeVar("Item")

DEPTH = 2
"""Batches read ahead."""

TICK = 0.1
"""Seconds after which a wait is interrupted to see whether the job was stopped."""

JOIN_SECONDS = 0.9
"""How long a stopped job waits for the batch that is being read."""


@dataclass(frozen=True)
class Batch:
    """Patches that were read: their rows of the grid and (n, size, size, 3) uint8 pixels."""

    rows: NDArray[np.int64]
    pixels: NDArray[np.uint8]


@contextmanager
def prefetched(
    rows: NDArray[np.int64], read: Callable[[NDArray[np.int64]], NDArray[np.uint8]], batch: BatchSize
) -> Iterator[Iterator[Batch | None]]:
    """Give batches of `rows` read by `read` in one thread, at most `DEPTH` ahead; None whenever `TICK` passed without one.

    Leaving the context, for whatever reason, stops the thread after the batch it is reading. What `read` raises is raised here.
    """

    def batches() -> Iterator[Batch]:
        start = 0
        while start < len(rows):
            chosen = rows[start : start + batch.size]
            yield Batch(chosen, read(chosen))
            start += len(chosen)

    with in_thread(batches(), DEPTH) as ready:
        yield ready


@contextmanager
def in_thread(items: Iterable[Item], depth: int) -> Iterator[Iterator[Item | None]]:
    """Give `items`, made in one thread at most `depth` ahead; None whenever `TICK` passed without one.

    Leaving the context, for whatever reason, stops the thread after the item it is making. What that raises is raised here.
    """
    ready: Queue[tuple[Item] | Exception | None] = Queue(depth)
    stop = threading.Event()

    def put(item: tuple[Item] | Exception | None) -> None:
        while not stop.is_set():
            with suppress(Full):
                ready.put(item, timeout=TICK)
                break

    def work() -> None:
        try:
            for item in items:
                put((item,))
                if stop.is_set():
                    return
            put(None)
        except Exception as error:  # noqa: BLE001 - the consumer raises it, in its own thread
            put(error)

    thread = threading.Thread(target=work, name="wsimil-reader", daemon=True)
    thread.start()
    try:
        made = _drain(ready)
        yield made
    finally:
        stop.set()
        thread.join(JOIN_SECONDS)


def _drain(ready: Queue[tuple[Item] | Exception | None]) -> Iterator[Item | None]:
    while True:
        try:
            item = ready.get(timeout=TICK)
        except Empty:
            yield None
            continue
        if item is None:
            return
        if isinstance(item, Exception):
            raise item
        yield item[0]
