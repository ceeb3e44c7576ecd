"""Grids of patches from coordinates that other tools chose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_wsimil.patches import PatchGrid
from napari_wsimil.units import Level0Pixels, Mpp, PatchPixels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_wsimil.bags.feature_files import Places


def grids_of(places: Mapping[float, Places]) -> dict[float, tuple[PatchGrid, NDArray[np.int64]]]:
    """Grids of one slide by magnification, each with the order (N,) in which the file's patches follow each other in it.

    Tools anchor their grids differently: on the slide's corner, or on a piece of tissue. All magnifications of a slide are
    counted from one corner, so that patches find their children; patches off the grid go to the nearest cell.
    """
    if not places:
        return {}
    coarsest = places[max(places)]
    anchor = np.array([_anchor(coarsest.xy[:, axis], coarsest.stride_level0) for axis in (0, 1)])
    cells = {mpp: np.rint((at.xy - anchor) / at.stride_level0).astype(np.int64) for mpp, at in places.items()}
    ratios = {mpp: max(1, round(coarsest.stride_level0 / at.stride_level0)) for mpp, at in places.items()}
    # no cell may be negative; a whole number of coarse cells further, every child still has its parent
    first = np.min([cells[mpp].min(axis=0) // ratios[mpp] for mpp in places], axis=0)
    return {mpp: _grid(at, mpp, cells[mpp] - np.minimum(first, 0) * ratios[mpp]) for mpp, at in places.items()}


def _anchor(positions: NDArray[np.int64], step: float) -> float:
    """Where a grid of that step begins, from 0 to the step: 0 where most patches lie within a hundredth of that (or 2 px)."""
    tolerance = max(2.0, step / 100)
    off = positions - np.rint(positions / step) * step
    if np.mean(np.abs(off) <= tolerance) > 0.5:
        return 0.0
    rest = np.mod(positions, max(1, round(step)))
    return float(np.bincount(rest).argmax())


def _grid(places: Places, mpp: float, cells: NDArray[np.int64]) -> tuple[PatchGrid, NDArray[np.int64]]:
    order = np.lexsort((cells[:, 0], cells[:, 1]))
    units = Mpp(mpp), PatchPixels(places.size), PatchPixels(places.stride)
    level0 = Level0Pixels(places.size_level0), Level0Pixels(places.stride_level0)
    return PatchGrid(places.xy[order], cells[order], np.ones(len(cells), np.float32), *units, *level0), order
