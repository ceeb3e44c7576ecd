"""The tissue of a slide as a mask, and how much of it lies in a patch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_wsimil.patches.detectors import detector

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from napari_wsimil.slides import Slide

EVERYWHERE = "none"
"""The method that looks for no tissue: every place of the slide counts as some."""

_LONG_SIDE = 1500
_FINEST_MPP, _COARSEST_MPP = 8.0, 16.0


@dataclass(frozen=True)
class TissueMask:
    """Where tissue lies on a slide.

    Parameters
    ----------
    mask
        (rows, columns) bool, covering the whole slide.
    downsample
        (x, y) level-0 pixels per pixel of the mask.
    mpp
        µm per pixel of the mask, or None where the slide does not know its own.
    method
        Name of the detector.
    """

    mask: NDArray[np.bool_]
    downsample: tuple[float, float]
    mpp: float | None
    method: str

    @cached_property
    def _integral(self) -> NDArray[np.float64]:
        """(rows + 1, columns + 1): mask pixels above and left of each corner."""
        sums = np.zeros((self.mask.shape[0] + 1, self.mask.shape[1] + 1))
        sums[1:, 1:] = self.mask.cumsum(0, dtype=np.int64).cumsum(1)
        return sums

    def fraction(self, xy: ArrayLike, size_level0: float) -> NDArray[np.float32]:
        """Fraction of each square that is tissue; what lies outside the slide is none.

        Parameters
        ----------
        xy
            (N, 2) top-left corners in level-0 pixels.
        size_level0
            Side in level-0 pixels.

        Returns
        -------
        (N,) float32 from 0 to 1.
        """
        corners = np.asarray(xy, dtype=np.float64).reshape(-1, 2)
        x0, y0 = corners[:, 0] / self.downsample[0], corners[:, 1] / self.downsample[1]
        wide, high = size_level0 / self.downsample[0], size_level0 / self.downsample[1]
        x1, y1 = x0 + wide, y0 + high
        area = self._sum_to(x1, y1) - self._sum_to(x0, y1) - self._sum_to(x1, y0) + self._sum_to(x0, y0)
        return np.clip(area / (wide * high), 0, 1).astype(np.float32)

    def _sum_to(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Tissue left of x and above y; bilinear in the integral image, which is exact for a mask of squares."""
        sums = self._integral
        x, y = np.clip(x, 0, sums.shape[1] - 1), np.clip(y, 0, sums.shape[0] - 1)
        column = np.minimum(x.astype(np.int64), sums.shape[1] - 2)
        row = np.minimum(y.astype(np.int64), sums.shape[0] - 2)
        right, down = x - column, y - row
        upper = sums[row, column] * (1 - right) + sums[row, column + 1] * right
        lower = sums[row + 1, column] * (1 - right) + sums[row + 1, column + 1] * right
        total: NDArray[np.float64] = upper * (1 - down) + lower * down
        return total


def find_tissue(slide: Slide, method: str = "hsv-otsu") -> TissueMask:
    """Find the tissue of a slide on an overview of it, read from a coarse level.

    Parameters
    ----------
    method
        "hsv-otsu" leaves pen marks and grey or black artefacts out; "otsu" is the plain threshold of brightness; "none" takes
        the whole slide, without reading it.

    Raises
    ------
    SlideError
        There is no such method, or the slide can't be read.
    """
    if method == EVERYWHERE:
        return TissueMask(np.ones((1, 1), np.bool_), (float(slide.width), float(slide.height)), None, method)
    detect = detector(method)
    downsample = _overview_downsample(slide)
    columns, rows = max(1, math.ceil(slide.width / downsample)), max(1, math.ceil(slide.height / downsample))
    exact = slide.width / columns, slide.height / rows
    mpp = None if slide.mpp is None else slide.mpp[0] * exact[0]
    overview = slide.read_downsampled(0, 0, columns, rows, exact, keep=False)
    return TissueMask(detect(overview, mpp), exact, mpp, method)


def _overview_downsample(slide: Slide) -> float:
    """8 to 16 µm per pixel, as fine as a long side of 1500 px allows; never finer than level 0."""
    long_side = max(slide.width, slide.height)
    if slide.mpp is None:
        return max(1.0, long_side / _LONG_SIDE)
    mpp = min(max(slide.mpp[0] * long_side / _LONG_SIDE, _FINEST_MPP), _COARSEST_MPP)
    return max(1.0, mpp / slide.mpp[0])
