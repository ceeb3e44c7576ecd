"""Regions smaller than a patch: a small mark says something of the patch that it was made on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import shapely

from napari_wsimil.annotations.classes import plain_name
from napari_wsimil.annotations.coverage import EXCLUDED, IGNORED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_wsimil.annotations.regions import Region
    from napari_wsimil.annotations.shapes import Patches


def enlarged(regions: Sequence[Region], grid: Patches, min_share: float) -> tuple[Region, ...]:
    """The regions, those smaller than a patch that cover no patch enough as the patch that most of them lies in.

    Parameters
    ----------
    regions
        In level-0 pixels; those to be ignored or excluded stay as they are.
    grid
        Its `xy` and `size_level0` say where patches are; a region that touches none stays as it is.
    min_share
        What is enough, see `patch_classes`.
    """
    area = float(grid.size_level0) ** 2
    small = [number for number, region in enumerate(regions) if region.shape.area < area and not _is_cut(region)]
    if not small:
        return tuple(regions)
    corners = grid.xy.astype(np.float64)
    boxes = shapely.box(*corners.T, *(corners + float(grid.size_level0)).T)
    tree, out = shapely.STRtree(boxes), list(regions)
    for number in small:
        shape = regions[number].shape
        near = np.sort(tree.query(shape, predicate="intersects"))
        covered = shapely.area(shapely.intersection(boxes[near], shape))
        if len(near) and 0 < covered.max() < min_share * area:
            out[number] = replace(regions[number], shape=boxes[near[covered.argmax()]])
    return tuple(out)


def _is_cut(region: Region) -> bool:
    return any(plain_name(name) in (IGNORED, EXCLUDED) for name in (region.name, *region.parents))
