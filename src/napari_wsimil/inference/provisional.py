"""Heatmaps of what is encoded so far."""

from __future__ import annotations

import time
from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np

from napari_wsimil.bags import FeatureBag
from napari_wsimil.inference.prediction import PatchScores
from napari_wsimil.inference.progress import Provisional

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.bags import SlideBag
    from napari_wsimil.mil import MILModel

SHARE = 0.1
"""Most of the time that goes into heatmaps that are replaced soon."""


class Preview:
    """Makes provisional heatmaps, from time to time. For the thread that uses the bag.

    Parameters
    ----------
    network
        Its copy is asked, since the network itself waits for features meanwhile.
    bag
        Of the slide.
    seconds
        Time between two of them; longer where making one takes long.
    apart
        Whether the network looks at each magnification by itself.
    """

    def __init__(self, network: MILModel, bag: SlideBag, seconds: float, *, apart: bool = False) -> None:
        self._network, self._bag, self._seconds, self._apart = deepcopy(network), bag, seconds, apart
        self._next = 0.0
        self._made_of: tuple[float, int] = (0.0, 0)

    def due(self, mpp: float, *, last: bool = False) -> Provisional | None:
        """Return a new heatmap of the patches at `mpp` where it is time for one and there are more patches than at the last.

        The `last` one of a magnification is due in any case where the network goes on to another.
        """
        began = time.perf_counter()
        goes_on = last and mpp != self._bag.mpps[-1]
        if began < self._next and not goes_on:
            return None
        known = self._bag.known(mpp)
        count = int(known.sum())
        if not count or self._made_of == (mpp, count):
            return None
        made = self._made(mpp, known)
        took = time.perf_counter() - began
        self._next, self._made_of = began + max(self._seconds, took / SHARE), (mpp, count)
        return made

    def _made(self, mpp: float, known: NDArray[np.bool_]) -> Provisional | None:
        grid, rows = self._bag.grid(mpp), np.flatnonzero(known)
        seen = FeatureBag({mpp: self._bag.known_features(mpp, rows)}, {mpp: grid.where(known)})
        attention = self._network.provisional(seen, 0 if self._apart else self._bag.mpps.index(mpp))
        if attention is None:
            return None
        values = np.full(len(grid), np.nan, np.float32)
        values[rows] = attention.float().cpu().numpy()
        return Provisional(mpp, PatchScores(grid.xy, grid.size_level0, values, grid.stride_level0))
