"""Painted masks as regions: their outlines run along the edges of the pixels, so that nothing is lost or smoothed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import shapely
from scipy.ndimage import find_objects, label

from napari_wsimil.annotations.regions import Region

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray


def regions_of_mask(mask: NDArray[np.uint8], names: Mapping[int, str], step: float) -> tuple[Region, ...]:
    """One region for each area of connected pixels.

    Parameters
    ----------
    mask
        (rows, columns) number of a class, 0 where nothing was painted; its corner is that of the slide.
    names
        Number -> class; others are left out.
    step
        Side of a pixel in level-0 pixels.
    """
    return tuple(Region(name, shape) for number, name in names.items() for shape in _shapes(mask == number, step))


def _shapes(painted: NDArray[np.bool_], step: float) -> Iterator[shapely.Geometry]:
    parts, _ = label(painted)
    for number, place in enumerate(find_objects(parts), start=1):
        corner = np.array([place[1].start, place[0].start])
        boxes = (_runs(parts[place] == number) + np.tile(corner, 2)) * step
        # simplified by nothing: only corners on a straight line go
        yield shapely.simplify(shapely.union_all(shapely.box(*boxes.T)), 0)


def _runs(part: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n, 4) x0, y0, x1, y1 of the unbroken runs of each row."""
    edges = np.diff(np.pad(part.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    row, start = np.nonzero(edges == 1)
    _, end = np.nonzero(edges == -1)
    return np.stack([start, row, end, row + 1], axis=1).astype(np.float64)
