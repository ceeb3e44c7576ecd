"""Grids of square patches at one magnification, and which patches of a finer grid lie in a coarser one's."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_wsimil.errors import SlideError
from napari_wsimil.units import Level0Pixels, Mpp, PatchPixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.patches.tissue import TissueMask
    from napari_wsimil.slides import Slide


@dataclass(frozen=True)
class PatchGrid:
    """Patches on a regular grid anchored at the top-left corner of the slide, row by row.

    Parameters
    ----------
    xy
        (N, 2) int64 top-left corners in level-0 pixels, rounded to whole ones.
    cells
        (N, 2) int64 (column, row) in the grid.
    tissue_fraction
        (N,) float32.
    mpp
        µm per pixel of the patches.
    size, stride
        Side and distance in pixels at `mpp`.
    size_level0, stride_level0
        The same in level-0 pixels; not always whole.
    """

    xy: NDArray[np.int64]
    cells: NDArray[np.int64]
    tissue_fraction: NDArray[np.float32]
    mpp: Mpp
    size: PatchPixels
    stride: PatchPixels
    size_level0: Level0Pixels
    stride_level0: Level0Pixels

    def __len__(self) -> int:
        return len(self.xy)

    def where(self, kept: NDArray[np.bool_]) -> PatchGrid:
        """The patches that (N,) `kept` says, in the same order."""
        return replace(self, xy=self.xy[kept], cells=self.cells[kept], tissue_fraction=self.tissue_fraction[kept])

    def children(self, finer: PatchGrid) -> NDArray[np.int64]:
        """Rows of a finer grid that lie in each patch of this one.

        Returns
        -------
        (N, k * k) int64, -1 where the finer grid has no such patch; k is the ratio of the magnifications. Children come in
        nested steps of 2: within a step, i = down + 2 * right.

        Raises
        ------
        SlideError
            The grids do not nest: the ratio of their magnifications or of their strides is no whole number, or not the same.
        """
        k = self._ratio_to(finer)
        offsets = np.array(child_offsets(k), dtype=np.int64)
        cells = (self.cells[:, None, :] * k + offsets[None]).reshape(-1, 2)
        return finer.rows_of(cells).reshape(len(self), k * k)

    def rows_of(self, cells: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row in this grid of each (column, row) of (M, 2) cells, -1 where there is none."""
        if not len(self):
            return np.full(len(cells), -1, np.int64)
        columns = int(max(self.cells[:, 0].max(), cells[:, 0].max(initial=0))) + 1
        keys, wanted = (part[:, 1] * columns + part[:, 0] for part in (self.cells, cells))
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[at] == wanted, at, -1)

    def _ratio_to(self, finer: PatchGrid) -> int:
        ratio, steps = self.mpp / finer.mpp, self.stride_level0 / finer.stride_level0
        k = round(ratio)
        if k < 1 or abs(ratio - k) > 1e-3:
            raise SlideError(
                f"Patches at {self.mpp:g} and {finer.mpp:g} µm per pixel do not nest: {ratio:.3g} is no whole number."
            )
        if abs(steps - k) > 1e-3 * k:
            raise SlideError(
                f"Patches {self.stride} px apart at {self.mpp:g} and {finer.stride} px apart at {finer.mpp:g} µm/px do not "
                "nest: use the same stride in pixels for both."
            )
        return k


def child_offsets(k: int) -> list[tuple[int, int]]:
    """(right, down) of the children of a patch in the order of `PatchGrid.children`: nested steps of 2, an odd rest at once."""
    offsets = [(0, 0)]
    while k > 1:
        step = 2 if k % 2 == 0 else k
        offsets = [(x * step + right, y * step + down) for x, y in offsets for right in range(step) for down in range(step)]
        k //= step
    return offsets


def patch_grid(
    slide: Slide,
    mpp: float = 0.5,
    size: int = 256,
    tissue: TissueMask | None = None,
    stride: int | None = None,
    min_tissue: float = 0.25,
) -> PatchGrid:
    """Lay a grid of patches over a slide.

    Parameters
    ----------
    mpp
        µm per pixel of the patches; any, the pyramid need not hold it.
    size, stride
        Side and distance in pixels at `mpp`; the stride is the side where None.
    tissue
        Keeps the patches with at least `min_tissue` of tissue; None keeps all, with tissue fraction 1.

    Returns
    -------
    Patches at least half of which lie inside the slide in x and in y, row by row; a slide smaller than that has one.

    Raises
    ------
    SlideError
        The slide does not know its mpp, or a number makes no sense.
    """
    stride = size if stride is None else stride
    if size < 1 or stride < 1:
        raise SlideError(f"Patches need a side and a stride of at least 1 pixel, not {size} and {stride}.")
    # one step for both axes: x and y differ by a fraction of a percent at most, and rasters of results are square
    ratio = sum(slide.ratio(mpp)) / 2
    size_level0, stride_level0 = Level0Pixels(size * ratio), Level0Pixels(stride * ratio)
    columns, rows = (_count(length, size_level0, stride_level0) for length in (slide.width, slide.height))
    row, column = np.divmod(np.arange(rows * columns, dtype=np.int64), columns)
    cells = np.stack([column, row], axis=1)
    xy = np.floor(cells * stride_level0 + 0.5).astype(np.int64)
    fraction = np.ones(len(xy), np.float32) if tissue is None else tissue.fraction(xy, size_level0)
    keep = fraction >= min_tissue if tissue is not None else np.ones(len(xy), np.bool_)
    units = Mpp(mpp), PatchPixels(size), PatchPixels(stride), size_level0, stride_level0
    return PatchGrid(xy[keep], cells[keep], fraction[keep], *units)


def _count(length: int, size: float, stride: float) -> int:
    """Patches along a side: the last one has at least half of itself inside."""
    return max(1, math.floor((length - size / 2) / stride + 1e-9) + 1)
