"""One curve of a run: as many points as the eye can use, however long the run is."""

from __future__ import annotations

MOST_POINTS = 1000
"""Points of a curve; beyond twice as many, neighbours become one."""


class Curve:
    """Points from left to right; one that is put left of the last was taken again, and what came after it is forgotten.

    Each point that is kept is the mean of as many as there must be, at the place of the last of them.
    """

    def __init__(self) -> None:
        self._each = 1
        self._xs: list[float] = []
        self._sums: list[float] = []
        self._counts: list[int] = []

    def __len__(self) -> int:
        return len(self._xs)

    def put(self, x: float, value: float) -> None:
        """Add a point."""
        self.cut(x)
        if self._xs and self._counts[-1] < self._each:
            self._xs[-1] = x
            self._sums[-1] += value
            self._counts[-1] += 1
            return
        self._xs.append(x)
        self._sums.append(value)
        self._counts.append(1)
        if len(self) >= 2 * MOST_POINTS:
            self._thin()

    def cut(self, x: float) -> None:
        """Forget what is at `x` and to the right of it."""
        while self._xs and self._xs[-1] >= x:
            for kept in (self._xs, self._sums, self._counts):
                kept.pop()

    def points(self) -> tuple[list[float], list[float]]:
        """Places and values."""
        return list(self._xs), [total / count for total, count in zip(self._sums, self._counts, strict=True)]

    def _thin(self) -> None:
        self._each *= 2
        self._xs = self._xs[1::2]
        self._sums = [a + b for a, b in zip(self._sums[::2], self._sums[1::2], strict=True)]
        self._counts = [a + b for a, b in zip(self._counts[::2], self._counts[1::2], strict=True)]
