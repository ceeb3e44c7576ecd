"""A region at any magnification, from the nearest finer stored level."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_wsimil.slides._resample import resample
from napari_wsimil.slides._window import Box, around, read_window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.slides._cache import TileCache
    from napari_wsimil.slides._window import TileSource
    from napari_wsimil.slides.backends.base import Level

_TOLERANCE = 1.02
"""A level up to 2 % coarser than asked for counts as that magnification: scanners say 0.2525 and mean 0.25."""
_BLOCK_PIXELS = 1 << 24
"""Pixels of a stored level held in memory at once while shrinking."""


class Region(NamedTuple):
    """What to read: top-left corner in level-0 pixels, output size, level-0 pixels per output pixel in x and y."""

    x: float
    y: float
    width: int
    height: int
    ratio: tuple[float, float]


def nearest_finer(levels: tuple[Level, ...], ratio: tuple[float, float]) -> Level:
    """The coarsest level that is not coarser than `ratio` level-0 pixels per pixel (2 % allowed), else level 0."""
    wanted = min(ratio) * _TOLERANCE
    return max((level for level in levels if level.downsample <= wanted), key=lambda level: level.downsample, default=levels[0])


def read_scaled(
    source: TileSource,
    levels: tuple[Level, ...],
    cache: TileCache,
    region: Region,
    out: NDArray[np.uint8] | None = None,
    *,
    keep: bool = True,
) -> NDArray[np.uint8]:
    """Read a region, (height, width, 3) uint8; area mean where it is shrunk, white outside the slide.

    Where the level, or whole blocks of its pixels, fit so well that nothing moves by more than half a pixel of the result,
    pixels are taken (or averaged) as stored; everywhere else fractions of pixels count.
    """
    if out is None:
        out = np.empty((region.height, region.width, 3), np.uint8)
    level = nearest_finer(levels, region.ratio)
    scale = levels[0].width / level.width, levels[0].height / level.height
    x, fx = _snap(region.x / scale[0], region.ratio[0] / scale[0], region.width)
    y, fy = _snap(region.y / scale[1], region.ratio[1] / scale[1], region.height)
    if fx == fy == 1:
        return read_window(source, level, cache, Box(round(x), round(y), region.width, region.height), out=out, keep=keep)
    side = max(1, int(math.sqrt(_BLOCK_PIXELS) / max(fx, fy)))
    for top in range(0, region.height, side):
        for left in range(0, region.width, side):
            part = out[top : top + side, left : left + side]
            height, width = part.shape[:2]
            x0, y0 = x + left * fx, y + top * fy
            box, window = around(x0, y0, x0 + width * fx, y0 + height * fy)
            part[...] = resample(read_window(source, level, cache, box, keep=keep), window, (width, height))
    return out


def _snap(start: float, factor: float, count: int) -> tuple[float, float]:
    """Move start and factor to whole pixels of the level, if that moves neither end by more than half a pixel of the result."""
    whole = max(1, round(factor))
    slack = (factor - whole) * count
    if abs(slack) > whole:
        return start, factor
    return math.floor(start + slack / 2 + 0.5), whole
