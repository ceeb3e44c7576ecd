"""Where somebody is looking, so that patches there are encoded first."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.patches import PatchGrid

Box = tuple[float, float, float, float]


class Focus:
    """The part of a slide in view, told by one thread and asked for by another.

    Parameters
    ----------
    box
        (x0, y0, x1, y1) in level-0 pixels, or None where nobody looks yet.
    """

    def __init__(self, box: Box | None = None) -> None:
        self._lock = threading.Lock()
        self._box = box
        self._moves = 0

    def look_at(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Say what is in view now, in level-0 pixels; what is left to encode is put in a new order."""
        with self._lock:
            if self._box != (x0, y0, x1, y1):
                self._box = (x0, y0, x1, y1)
                self._moves += 1

    @property
    def moves(self) -> int:
        """How often the view moved."""
        return self._moves

    def sees(self, grid: PatchGrid) -> NDArray[np.bool_]:
        """(N,) whether a patch of `grid` is in view, partly at least; all where nobody looks."""
        with self._lock:
            box = self._box
        if box is None:
            return np.ones(len(grid), np.bool_)
        x0, y0, x1, y1 = box
        low, high = grid.xy, grid.xy + grid.size_level0
        seen: NDArray[np.bool_] = (low[:, 0] < x1) & (high[:, 0] > x0) & (low[:, 1] < y1) & (high[:, 1] > y0)
        return seen
