"""Patch scores as a raster with one pixel per patch, and where that raster lies on the slide."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.inference.prediction import PatchScores

_ROUNDING = 1e-6
"""Sides and steps whose ratio is that near to a whole number are meant to be so."""


@dataclass(frozen=True)
class Heatmap:
    """One pixel per grid step.

    Attributes
    ----------
    values
        (rows, columns) float32, NaN where no patch was, or none that was encoded.
    origin
        (x, y) of the top-left corner of pixel (0, 0) in level-0 pixels.
    step
        Side of a heatmap pixel in level-0 pixels.
    """

    values: NDArray[np.float32]
    origin: tuple[float, float]
    step: float

    def scale_translate(self, mpp: tuple[float, float]) -> tuple[tuple[float, float], tuple[float, float]]:
        """Give napari's (row, column) scale and translate in µm, for a slide layer of `mpp` (x, y) µm per level-0 pixel.

        napari puts the *centre* of pixel 0 at `translate`, and the slide's own first pixel at 0, so a pixel that is `step`
        slide pixels wide starts half a step minus half a pixel further in.
        """
        shift = (self.step - 1) / 2
        (x, y), (mx, my) = self.origin, mpp
        return (self.step * my, self.step * mx), ((y + shift) * my, (x + shift) * mx)


def heatmap(scores: PatchScores) -> Heatmap:
    """Spread (N,) scores over a raster of step `stride_level0`.

    A pixel is the mean of the patches over it, each weighted by the area of the pixel that it covers: with patches of side s a
    step t apart, the patch in column c covers the columns c to c + s/t, the last one perhaps in part, and the same downwards. A
    score of NaN (a patch not encoded yet) is left out; a pixel under nothing else is NaN. A patch smaller than a step fills
    its pixel.
    """
    step = scores.stride_level0
    if len(scores) == 0:
        return Heatmap(np.full((1, 1), np.nan, np.float32), (0.0, 0.0), step)
    cells = np.rint(scores.xy / step).astype(np.int64)
    low = cells.min(axis=0)
    columns, rows = cells.T - low[:, None]
    weights = _shares(scores.size_level0 / step)
    shape = (int(rows.max()) + len(weights), int(columns.max()) + len(weights))
    at = rows * shape[1] + columns
    known = ~np.isnan(scores.values)
    total, count = (
        _spread(np.bincount(at[known], what, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64), weights)
        for what in (scores.values[known], None)
    )
    values = np.divide(total, count, out=np.full(shape, np.nan), where=count > 0)
    return Heatmap(values.astype(np.float32), (float(low[0] * step), float(low[1] * step)), step)


def _shares(steps: float) -> list[float]:
    """How much of each pixel, from its own on, a patch covers that is so many steps wide."""
    if abs(steps - round(steps)) < _ROUNDING:
        steps = round(steps)
    whole = math.floor(steps)
    return [1.0] * whole + [steps - whole] * (steps > whole)


def _spread(raster: NDArray[np.float64], weights: list[float]) -> NDArray[np.float64]:
    """Each pixel added to those right of it and below, by the weights: patches are square, so one axis goes after the other."""
    for axis in (0, 1):
        spread = weights[0] * raster
        for away, weight in enumerate(weights[1:], 1):
            ahead, behind = [slice(None), slice(None)], [slice(None), slice(None)]
            ahead[axis], behind[axis] = slice(away, None), slice(None, -away)
            spread[tuple(ahead)] += weight * raster[tuple(behind)]
        raster = spread
    return raster
