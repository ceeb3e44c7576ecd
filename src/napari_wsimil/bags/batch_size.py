"""How many patches to take at once, found while they are encoded."""

from __future__ import annotations

import threading
from collections import deque
from statistics import median

SHORT, LONG = 0.2, 0.5
"""Seconds that a batch should take: longer ones make Cancel and the bar late, shorter ones may cost more than they must."""
WORSE = 1.03
"""Times as fast as a larger size that a smaller one must be to be preferred."""
SAMPLES = 6
"""Batches of a size before it is judged: single ones vary by a third while other threads read."""


class BatchSize:
    """A number of patches that is doubled while batches are short and do not get slower by it, and halved where they take long.

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
        self._rates: dict[int, deque[float]] = {}
        self._lock = threading.Lock()

    def record(self, count: int, seconds: float) -> None:
        """Take note that `count` patches took `seconds`."""
        with self._lock:
            if not self.adaptive or count != self.size or seconds <= 0:
                return
            rates = self._rates.setdefault(count, deque(maxlen=2 * SAMPLES))
            rates.append(count / seconds)
            smaller, larger = max(1, count // 2), min(self.largest, count * 2)
            if seconds > LONG:
                self.size = smaller
            elif len(rates) < SAMPLES:
                return
            elif self._is_slower(count, smaller):
                # and never tried again
                self.size = self.largest = smaller
            elif seconds < SHORT:
                self.size = larger

    def shrink(self, count: int) -> None:
        """Never take `count` patches again: memory ran out."""
        with self._lock:
            self.largest = max(1, min(self.largest, count // 2))
            self.size = min(self.size, self.largest)

    def _is_slower(self, count: int, smaller: int) -> bool:
        known = self._rates.get(smaller, ())
        return smaller < count and len(known) >= SAMPLES and median(known) > WORSE * median(self._rates[count])
