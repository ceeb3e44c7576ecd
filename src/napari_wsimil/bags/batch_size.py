"""How many patches to take at once, found while they are encoded."""

from __future__ import annotations

import threading

SHORT, LONG = 0.1, 0.4
"""Seconds that a batch should take: shorter ones cost more than they must, longer ones make Cancel and the bar late."""
BETTER = 1.03
"""Times as fast as another that a size must be to be preferred."""


class BatchSize:
    """A number of patches that is doubled while batches are short and get faster by it, and halved where they take long.

    Parameters
    ----------
    size
        At first.
    largest
        Never more.
    adaptive
        Whether it changes by itself; out of memory it is halved in any case.
    """

    def __init__(self, size: int = 4, largest: int = 64, *, adaptive: bool = True) -> None:
        self.size, self.largest, self.adaptive = size, largest, adaptive
        self._best: dict[int, float] = {}
        self._lock = threading.Lock()

    def record(self, count: int, seconds: float) -> None:
        """Take note that `count` patches took `seconds`."""
        with self._lock:
            if not self.adaptive or count != self.size or seconds <= 0:
                return
            # the best of each size: other programs only ever make it slower
            rate = self._best[count] = max(self._best.get(count, 0.0), count / seconds)
            smaller, larger = max(1, count // 2), min(self.largest, count * 2)
            if seconds > LONG or self._best.get(smaller, 0.0) > rate * BETTER:
                self.size = smaller
            elif seconds < SHORT and self._best.get(larger, rate * BETTER) >= rate * BETTER:
                self.size = larger

    def shrink(self, count: int) -> None:
        """Never take `count` patches again: memory ran out."""
        with self._lock:
            self.largest = max(1, min(self.largest, count // 2))
            self.size = min(self.size, self.largest)
