"""Patch scores as a raster with one pixel per patch, and where that raster lies on the slide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.inference.prediction import PatchScores


@dataclass(frozen=True)
class Heatmap:
    """One pixel per grid step.

    Attributes
    ----------
    values
        (rows, columns) float32, NaN where no patch was.
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
    """Spread (N,) scores over a raster of step `stride_level0`; where patches overlap, a pixel is the mean of those over it."""
    step = scores.stride_level0
    if len(scores) == 0:
        return Heatmap(np.full((1, 1), np.nan, np.float32), (0.0, 0.0), step)
    cells = np.rint(scores.xy / step).astype(np.int64)
    low = cells.min(axis=0)
    columns, rows = cells.T - low[:, None]
    reach = max(1, round(scores.size_level0 / step))
    shape = (int(rows.max()) + reach, int(columns.max()) + reach)
    total, count = np.zeros(shape), np.zeros(shape, np.int64)
    for down in range(reach):
        for right in range(reach):
            np.add.at(total, (rows + down, columns + right), scores.values)
            np.add.at(count, (rows + down, columns + right), 1)
    with np.errstate(invalid="ignore"):
        values = (total / np.where(count, count, np.nan)).astype(np.float32)
    return Heatmap(values, (float(low[0] * step), float(low[1] * step)), step)
