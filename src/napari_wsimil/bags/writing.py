"""Features on their way to the store, written by a thread of their own."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import Future

    import numpy as np
    from numpy.typing import NDArray

    from napari_wsimil.bags.rates import StageRates
    from napari_wsimil.bags.store import StoredFeatures

FLUSH_SECONDS = 1.0
"""At most so much work is lost with the process, or the power."""
MOST_WAITING = 64
"""Batches that wait for a slow disk before encoding waits too."""


class Writer:
    """Writes to stored features and flushes them every second; what goes wrong is raised at the next `write` or `end`."""

    def __init__(self, stored: StoredFeatures, rates: StageRates) -> None:
        self._stored, self._rates = stored, rates
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="wsimil-writer")
        self._waiting: deque[Future[None]] = deque()
        self._flushed = time.perf_counter()

    def write(self, rows: NDArray[np.int64], features: NDArray[np.float32]) -> None:
        """Take (n, D) features of (n,) rows to be written."""
        while self._waiting and (self._waiting[0].done() or len(self._waiting) >= MOST_WAITING):
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._write, rows, features))

    def end(self) -> None:
        """Wait until all is written; not for the disk, which `StoredFeatures.close` does."""
        try:
            while self._waiting:
                self._waiting.popleft().result()
        finally:
            self._pool.shutdown(wait=True)

    def _write(self, rows: NDArray[np.int64], features: NDArray[np.float32]) -> None:
        began = time.perf_counter()
        self._stored.write(rows, features)
        if time.perf_counter() - self._flushed > FLUSH_SECONDS:
            self._stored.flush()
            self._flushed = time.perf_counter()
        self._rates.record("write", len(rows), time.perf_counter() - began)
