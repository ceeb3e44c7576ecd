"""The threads in which one slide reads."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Item = TypeVar("Item")
_here = threading.local()


class ReadPool:
    """A pool made when first needed. Work that is started from within it is done at once: waiting there could wait for ever."""

    def __init__(self) -> None:
        self.workers = min(8, _cores())
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._closed = False

    def run(self, work: Callable[[Item], None], items: Iterable[Item]) -> None:
        """Do `work` for each item, side by side; what it raises is raised here."""
        todo = list(items)
        alone = len(todo) < 2 or self.workers < 2 or getattr(_here, "reading", False)
        pool = None if alone else self._threads()
        if pool is None:
            for item in todo:
                work(item)
            return
        for _ in pool.map(work, todo):
            pass

    def _threads(self) -> ThreadPoolExecutor | None:
        with self._lock:
            if self._pool is None and not self._closed:
                self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="wsi-read", initializer=_mark)
            return self._pool

    def close(self) -> None:
        """Wait for what is being read; what was not begun is not read."""
        with self._lock:
            self._closed = True
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)


def _cores() -> int:
    """Cores that this process may use: a job on a cluster is often given fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _mark() -> None:
    _here.reading = True
