"""How long a stage without steps will still take, by how long it took so far."""

from __future__ import annotations

import time

KNOWN_SECONDS = 1.0
"""Nothing is said before so much time has passed."""

QUICK_SECONDS = 0.2
"""What is done sooner was there already, and says nothing of the rest."""


class Pace:
    """Begin it with the work."""

    def __init__(self) -> None:
        self._begin(0.0)

    def left(self, done: float, total: float) -> float | None:
        """Seconds that are left where `done` of `total` is done; None while that can't be told."""
        took, made = time.perf_counter() - self._started, done - self._first
        return took / made * (total - done) if made > 0 and took > KNOWN_SECONDS else None

    def passed(self, done: int) -> None:
        """The next of several things is done: one that took no time is left out of the account, if it came first."""
        if time.perf_counter() - self._started < QUICK_SECONDS:
            self._begin(done)

    def _begin(self, done: float) -> None:
        self._started, self._first = time.perf_counter(), done
