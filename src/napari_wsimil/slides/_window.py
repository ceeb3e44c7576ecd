"""A window of one level, put together from its tiles; white wherever there is nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from napari_wsimil.slides._memory import TILES
from napari_wsimil.slides._scratch import scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    from numpy.typing import NDArray

    from napari_wsimil.slides._cache import SlideTiles
    from napari_wsimil.slides.backends.base import Level

WHITE = 255
_MARGIN = 3
"""Pixels around a window that the resampling filters may look at."""


class Box(NamedTuple):
    """A window in pixels of a level; may hang over its edges."""

    x: int
    y: int
    width: int
    height: int


class TileSource(Protocol):
    """Anything with tiles: a backend, or levels made from it."""

    def read_tile(
        self, level: int, column: int, row: int, scratch: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8] | None:
        """See `Backend.read_tile`."""

    def to_any_memory(self, level: Level) -> bool:
        """Whether `scratch` may be any part of an array, not only a contiguous one."""


class Tiles(NamedTuple):
    """The tiles of a level, and how long to keep them.

    Parameters
    ----------
    keep
        Keep all tiles in the cache. False keeps only those that are partly outside a window, which a neighbouring window
        will want; a tile that lies inside is decoded into memory that is used again and again.
    shared
        With `keep` False: tiles that are wanted again although they lie inside, numbered row by row.
    """

    source: TileSource
    level: Level
    cache: SlideTiles
    keep: bool = True
    shared: Container[int] = ()

    def in_place(self, out: NDArray[np.uint8]) -> bool:
        """Whether a whole tile can be made right where it is wanted in `out` (..., height, width, 3)."""
        wide = out.shape[-2] == self.level.tile_size[0]
        return (wide and out.flags.c_contiguous) or self.source.to_any_memory(self.level)


def read_window(tiles: Tiles, box: Box, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Pixels of a window, (box.height, box.width, 3) uint8, written to `out` where it is given."""
    level = tiles.level
    columns, (width, height) = level.tiles[0], level.tile_size
    if out is None:
        out = np.empty((box.height, box.width, 3), np.uint8)
    if box.x < 0 or box.y < 0 or box.x + box.width > level.width or box.y + box.height > level.height:
        out[...] = WHITE
    in_place = tiles.in_place(out)
    spare = scratch("tile", (height, width, 3))
    across = _spans(box.x, box.width, width, level.width)
    for row, top, bottom, first, tall in _spans(box.y, box.height, height, level.height):
        for column, left, right, start, wide in across:
            target = out[top:bottom, left:right]
            if tiles.keep or not (tall and wide) or row * columns + column in tiles.shared:
                tile = tile_kept(tiles, column, row)
            else:
                memory = target if in_place and target.shape == spare.shape else spare
                tile = tile_once(tiles, column, row, memory)
            if tile is None:
                target[...] = WHITE
            elif tile is not target:
                target[...] = tile[first : first + bottom - top, start : start + right - left]
    return out


def _spans(begin: int, length: int, side: int, end: int) -> list[tuple[int, int, int, int, bool]]:
    """The tiles along one side of a window of a level that has `end` pixels.

    Returns
    -------
    For each its number, from where to where in the window it lies, with which of its pixels it begins there, and whether all
    of it that is inside the level lies there.
    """
    spans = []
    for number in range(max(0, begin // side), min(-(-end // side), -(-(begin + length) // side))):
        start = number * side
        stop = min(start + side, end)
        first, last = max(start, begin), min(stop, begin + length)
        if first < last:
            # a window beyond the level may lie within the overhang of its last tile
            spans.append((number, first - begin, last - begin, first - start, first == start and last == stop))
    return spans


def warm_window(tiles: Tiles, box: Box, should_stop: Callable[[], bool]) -> None:
    """Decode the tiles of a window into the cache; `should_stop` is asked before each of them."""
    for column, row in tiles_of(tiles.level, box):
        if should_stop():
            return
        tile_kept(tiles, column, row)


def tile_once(tiles: Tiles, column: int, row: int, memory: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """A tile that is not wanted again: from the cache if it is there, else in `memory`."""
    if (tiles.level.index, column, row) in tiles.cache:
        return tile_kept(tiles, column, row)
    return tiles.source.read_tile(tiles.level.index, column, row, memory)


def tile_kept(tiles: Tiles, column: int, row: int) -> NDArray[np.uint8] | None:
    """A tile that is wanted again, from the cache or kept there."""
    width, height = tiles.level.tile_size
    return tiles.cache.get(
        (tiles.level.index, column, row),
        lambda: tiles.source.read_tile(tiles.level.index, column, row, scratch=TILES.take((height, width, 3))),
        passing=not tiles.keep,
        expected=width * height * 3,
    )


def tiles_of(level: Level, box: Box) -> Iterator[tuple[int, int]]:
    """(column, row) of the tiles that a window touches, row by row."""
    tile_width, tile_height = level.tile_size
    columns, rows = level.tiles
    if box.x >= level.width or box.y >= level.height:
        # the last tiles may reach that far, but not the level
        return
    for row in range(max(0, box.y // tile_height), min(rows, -(-(box.y + box.height) // tile_height))):
        for column in range(max(0, box.x // tile_width), min(columns, -(-(box.x + box.width) // tile_width))):
            yield column, row


def around(x0: float, y0: float, x1: float, y1: float) -> tuple[Box, tuple[float, float, float, float]]:
    """The whole pixels to read for a window with fractional edges, and that window within them.

    There is a margin for the filters, unless the window ends on whole pixels.
    """
    margin = 0 if all(abs(edge - round(edge)) < 1e-6 for edge in (x0, y0, x1, y1)) else _MARGIN
    left, top = math.floor(x0 + 1e-6) - margin, math.floor(y0 + 1e-6) - margin
    box = Box(left, top, math.ceil(x1 - 1e-6) + margin - left, math.ceil(y1 - 1e-6) + margin - top)
    return box, (x0 - left, y0 - top, x1 - left, y1 - top)
