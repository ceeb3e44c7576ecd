"""The levels to show: the stored ones, completed with virtual ones so that each step is about 2."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_wsimil.slides._resample import block_mean, resample
from napari_wsimil.slides._scratch import scratch as memory
from napari_wsimil.slides._window import WHITE, Box, Tiles, around, read_window, tile_once
from napari_wsimil.slides.backends.base import Level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_wsimil.slides._cache import SlideTiles
    from napari_wsimil.slides._stored import StoredTiles

_TILE = 512
_SMALLEST = 1024
_LARGEST_STEP = 2.5
_FACTORS = (8, 4, 2)
"""Sizes at which libjpeg decodes directly."""
_REDUCED = 1 << 16
"""Reduced levels are numbered from here: factor times this, plus the number of the stored level."""
_MEANS = 1 << 40
"""Added to that for those whose pixels are means, not what libjpeg decodes at that size."""


class Pyramid:
    """Stored, virtual and reduced levels behind one numbering of tiles.

    A virtual level that is a half, a quarter or an eighth of a stored JPEG level is decoded at that size by libjpeg (44 to
    50 dB from the area mean, for display only); any other is the area mean of the next finer level shown.

    Attributes
    ----------
    levels
        Finest first, down to one of at most 1024 px on its long side; virtual ones are numbered after the stored ones.
    """

    def __init__(self, stored: StoredTiles, cache: SlideTiles) -> None:
        self.stored = stored.levels
        self._tiles = stored
        self._cache = cache
        self._virtual: dict[int, tuple[Level, Level]] = {}
        shown: list[Level] = []
        for level, coarser in zip(self.stored, (*self.stored[1:], None), strict=True):
            shown.append(level)
            for step, (width, height) in enumerate(_halvings(level, coarser), 1):
                number = len(self.stored) + len(self._virtual)
                virtual = Level(number, width, height, self.stored[0].width / width, (_TILE, _TILE))
                self._virtual[number] = virtual, self.reduced(level, 2**step) or shown[-1]
                shown.append(virtual)
        self.levels = tuple(shown)

    def reduced(self, level: Level, factor: int) -> Level | None:
        """A stored level decoded at 1 / `factor` of its size; None where that can't be done.

        Its downsample is exactly `factor` times the level's: the last row and column may hang over the edge of the slide.
        """
        if factor not in _FACTORS or not self._tiles.reduces or any(side % factor for side in level.tile_size):
            return None
        return _divided(level, factor, factor * _REDUCED + level.index)

    def means(self, level: Level, factor: int) -> Level | None:
        """Means of `factor` x `factor` pixels of a stored level, made tile by tile; None where tiles don't hold whole ones."""
        if level.index >= len(self.stored) or any(side % factor for side in level.tile_size):
            return None
        return _divided(level, factor, _MEANS + factor * _REDUCED + level.index)

    def pixels_decoded(self, level: Level) -> int:
        """For each pixel of a stored, reduced or virtual level."""
        return max(1, level.index % _MEANS // _REDUCED) ** 2

    def coarsest_reduced(self, level: Level, factor: float) -> tuple[Level, int]:
        """The smallest reduced form of a stored level that is not coarser than `factor` of its pixels, and its own factor."""
        for whole in _FACTORS:
            smaller = self.reduced(level, whole) if whole <= factor else None
            if smaller is not None:
                return smaller, whole
        return level, 1

    def to_any_memory(self, level: Level) -> bool:
        """Whether `scratch` may be any part of an array, not only a contiguous one."""
        return level.index >= _MEANS

    def read_tile(
        self, level: int, column: int, row: int, scratch: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8] | None:
        """See `Backend.read_tile`."""
        if level >= _MEANS:
            factor, index = divmod(level - _MEANS, _REDUCED)
            return self._mean(self.stored[index], column, row, factor, scratch)
        if level >= _REDUCED:
            factor, index = divmod(level, _REDUCED)
            return self._tiles.read_tile_reduced(index, column, row, factor)
        if level < len(self.stored):
            return self._tiles.read_tile(level, column, row, scratch)
        about, finer = self._virtual[level]
        x, y = column * _TILE, row * _TILE
        width, height = min(_TILE, about.width - x), min(_TILE, about.height - y)
        out = None if scratch is None else scratch[:height, :width]
        return self._shrunk(about, finer, Box(x, y, width, height), out)

    def _mean(
        self, about: Level, column: int, row: int, factor: int, out: NDArray[np.uint8] | None
    ) -> NDArray[np.uint8] | None:
        """The means of a stored tile, averaged while the processor still holds it; white completes what ends within a block."""
        width, height = about.tile_size
        full = memory("stored", (height, width, 3))
        tile = tile_once(Tiles(self, about, self._cache, keep=False), column, row, full)
        if tile is None:
            return None
        across, down = min(width, about.width - column * width), min(height, about.height - row * height)
        if across % factor or down % factor:
            whole = np.full((-(-down // factor) * factor, -(-across // factor) * factor, 3), WHITE, np.uint8)
            whole[:down, :across] = tile[:down, :across]
            tile = whole
        else:
            tile = tile[:down, :across]
        shape = tile.shape[0] // factor, tile.shape[1] // factor
        if out is None or out.shape[:2] != shape:
            out = np.empty((*shape, 3), np.uint8)
        block_mean(tile, factor, factor, out)
        return out

    def _shrunk(self, about: Level, finer: Level, box: Box, out: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        """A part of a virtual level from a finer one. Whole blocks where nothing moves by more than half a pixel."""
        tiles = Tiles(self, finer, self._cache, keep=finer.index < _REDUCED)
        if out is None:
            out = np.empty((box.height, box.width, 3), np.uint8)
        fx, fy = finer.width / about.width, finer.height / about.height
        x, across = _snapped(box.x * fx, fx, box.width, finer.width)
        y, down = _snapped(box.y * fy, fy, box.height, finer.height)
        if x is None or y is None:
            part, window = around(box.x * fx, box.y * fy, (box.x + box.width) * fx, (box.y + box.height) * fy)
            return resample(read_window(tiles, part), window, (box.width, box.height), out)
        part = Box(x, y, box.width * across, box.height * down)
        if across == down == 1:
            return read_window(tiles, part, out)
        window_pixels = memory(f"virtual {finer.index}", (part.height, part.width, 3))
        block_mean(read_window(tiles, part, window_pixels), across, down, out)
        return out


def _divided(level: Level, factor: int, number: int) -> Level:
    size = -(-level.width // factor), -(-level.height // factor)
    tile = level.tile_size[0] // factor, level.tile_size[1] // factor
    return Level(number, *size, level.downsample * factor, tile)


def _snapped(start: float, factor: float, count: int, length: int) -> tuple[int | None, int]:
    """Start and size of whole blocks of pixels that stand for `factor`, kept within the level; None where they would not do."""
    whole = max(1, round(factor))
    slack = (factor - whole) * count
    if abs(slack) > whole or whole * count > length:
        return None, whole
    return min(max(0, math.floor(start + slack / 2 + 0.5)), length - whole * count), whole


def _halvings(level: Level, coarser: Level | None) -> Iterator[tuple[int, int]]:
    """Sizes of the virtual levels between a stored level and the next one, or the end of the pyramid."""
    width, height = level.width, level.height
    while width / coarser.width > _LARGEST_STEP if coarser else max(width, height) > _SMALLEST:
        width, height = max(1, round(width / 2)), max(1, round(height / 2))
        yield width, height
