"""How fast each stage of a stream works, so that a user sees what limits."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

STAGES = ("read", "encode", "write")
WINDOW_SECONDS = 3.0


class StageRates:
    """Patches per second that each stage could do alone, over the last seconds; told and asked by any thread.

    Parameters
    ----------
    clock
        Seconds; for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._done: dict[str, deque[tuple[float, int, float]]] = {stage: deque() for stage in STAGES}
        # of what is in the window: asked for after each batch
        self._sums = {stage: [0, 0.0] for stage in STAGES}

    def record(self, stage: str, count: int, seconds: float, workers: int = 1) -> None:
        """Say that one of `workers`, which work side by side, did `count` patches in `seconds`."""
        now = self._clock()
        with self._lock:
            done, sums = self._done[stage], self._sums[stage]
            done.append((now, count, seconds / workers))
            sums[0] += count
            sums[1] += seconds / workers
            while len(done) > 1 and now - done[0][0] > WINDOW_SECONDS:
                _, fewer, less = done.popleft()
                sums[0] -= fewer
                sums[1] -= less

    def now(self) -> dict[str, float]:
        """Stage -> patches per second; a stage that did nothing yet is left out."""
        with self._lock:
            return {stage: count / seconds for stage, (count, seconds) in self._sums.items() if count and seconds > 0}
