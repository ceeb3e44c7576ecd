"""Scores of two sets of patches, whatever their sizes and strides, on one grid: the finer of the two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wsimil.inference.heatmap import Heatmap, heatmap
from napari_wsimil.inference.prediction import PatchScores
from napari_wsimil.units import Level0Pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_KNOWN = 0.5
"""Share of a place that patches must cover for it to have a value."""

_DIGITS = 6
"""Digits of the share of a cell that another covers: where cells fit exactly, equal scores stay equal whatever the rounding."""


def on_common_grid(first: PatchScores, second: PatchScores) -> tuple[PatchScores, PatchScores]:
    """Give both scores at the same places.

    Each is spread over a raster of its own stride, where overlapping patches are averaged (`heatmap`). The raster with the
    smaller stride is the common grid. A place of it gets, from the other raster, the mean of the cells over it, weighted by how
    much of the place each covers. Only places at least half of which both have looked at remain.

    Parameters
    ----------
    first, second
        Scores (N,) and (M,) of patches of one slide; NaN is not known.

    Returns
    -------
    tuple
        Both with the same (P, 2) `xy` in level-0 pixels, row by row; side and stride are the smaller of the two strides.
    """
    maps = heatmap(first), heatmap(second)
    grid = min(maps, key=lambda one: one.step)
    values = [_resampled(one, grid) for one in maps]
    rows, columns = np.nonzero(np.isfinite(values[0]) & np.isfinite(values[1]))
    corners = np.asarray(grid.origin) + grid.step * np.stack([columns, rows], axis=1)
    xy, side = np.floor(corners + 0.5).astype(np.int64), Level0Pixels(grid.step)
    one, other = (PatchScores(xy, side, raster[rows, columns].astype(np.float32)) for raster in values)
    return one, other


def _resampled(raster: Heatmap, grid: Heatmap) -> NDArray[np.float32]:
    """The area-weighted mean of a raster in each cell of another one; NaN where too little of the cell is known."""
    if raster is grid:
        return grid.values
    down = _shares(raster, grid, axis=0)
    across = _shares(raster, grid, axis=1)
    known = np.isfinite(raster.values)
    area = down @ known.astype(np.float64) @ across.T
    total = down @ np.where(known, raster.values, 0.0).astype(np.float64) @ across.T
    enough = area >= LEAST_KNOWN - 10.0**-_DIGITS
    return np.divide(total, area, out=np.full(area.shape, np.nan), where=enough).astype(np.float32)


def _shares(raster: Heatmap, grid: Heatmap, axis: int) -> Any:
    """How much of each cell of `grid` each cell of `raster` covers along an axis: sparse (cells of grid, cells of raster)."""
    from scipy.sparse import csr_array  # opening the dock must not wait for it

    counts = raster.values.shape[axis], grid.values.shape[axis]
    starts = [one.origin[1 - axis] for one in (raster, grid)]
    steps = raster.step, grid.step
    edges = [start + step * np.arange(count + 1) for start, step, count in zip(starts, steps, counts, strict=True)]
    cuts = np.union1d(*edges)
    middles, lengths = (cuts[1:] + cuts[:-1]) / 2, np.diff(cuts)
    theirs, ours = (np.floor((middles - start) / step).astype(np.int64) for start, step in zip(starts, steps, strict=True))
    inside = (theirs >= 0) & (theirs < counts[0]) & (ours >= 0) & (ours < counts[1])
    shares = np.round(lengths[inside] / grid.step, _DIGITS)
    return csr_array((shares, (ours[inside], theirs[inside])), shape=(counts[1], counts[0]))
