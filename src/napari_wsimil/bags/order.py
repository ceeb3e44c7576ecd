"""In which order patches are encoded: those in view first, and again so whenever the view moves."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.bags.focus import Focus
    from napari_wsimil.patches import PatchGrid


class PatchOrder:
    """Hands out rows of a grid, each once, to any number of threads.

    Parameters
    ----------
    rows
        (n,) int64, in the order in which they are taken where nobody looks; neighbours in a row share tiles.
    grid
        Whose rows they are.
    focus
        Where somebody looks; None: nobody.
    """

    def __init__(self, rows: NDArray[np.int64], grid: PatchGrid, focus: Focus | None = None) -> None:
        self._left, self._grid, self._focus = rows, grid, focus
        self._moves = -1
        self._lock = threading.Lock()

    def take(self, count: int) -> NDArray[np.int64]:
        """(m,) rows to do next, m <= count; none where all were taken."""
        with self._lock:
            if self._focus is not None and self._focus.moves != self._moves:
                self._moves = self._focus.moves
                seen = self._focus.sees(self._grid)[self._left]
                # what was put off for an earlier view goes back among its neighbours
                self._left = np.concatenate([np.sort(self._left[seen]), np.sort(self._left[~seen])])
            taken, self._left = self._left[:count], self._left[count:]
            return taken
