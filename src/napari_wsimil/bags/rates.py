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

    def record(self, stage: str, count: int, seconds: float, workers: int = 1) -> None:
        """Say that one of `workers`, which work side by side, did `count` patches in `seconds`."""
        now = self._clock()
        with self._lock:
            done = self._done[stage]
            done.append((now, count, seconds / workers))
            while len(done) > 1 and now - done[0][0] > WINDOW_SECONDS:
                done.popleft()

    def now(self) -> dict[str, float]:
        """Stage -> patches per second; a stage that did nothing yet is left out."""
        found = {}
        with self._lock:
            for stage, done in self._done.items():
                seconds = sum(part[2] for part in done)
                if seconds > 0:
                    found[stage] = sum(part[1] for part in done) / seconds
        return found
