"""A window of one level, put together from its tiles; white wherever there is nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from napari_wsimil.slides._memory import TILES
from napari_wsimil.slides._resample import block_mean
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


class Tiles(NamedTuple):
    """The tiles of a level, and how long to keep them.

    Parameters
    ----------
    keep
        Keep all tiles in the cache. False keeps only those that are partly outside a window, which a neighbouring window
        will want; a tile that lies inside is decoded into memory that is used again and again.
    shared
        With `keep` False: (column, row) of tiles that are wanted again although they lie inside.
    """

    source: TileSource
    level: Level
    cache: SlideTiles
    keep: bool = True
    shared: Container[tuple[int, int]] = ()


def read_window(tiles: Tiles, box: Box, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Pixels of a window, (box.height, box.width, 3) uint8, written to `out` where it is given."""
    if out is None:
        out = np.empty((box.height, box.width, 3), np.uint8)
    _whiten_outside(tiles.level, box, out)
    for tile, source, (left, top, right, bottom) in _parts(tiles, box, out):
        target = out[top:bottom, left:right]
        if tile is None:
            target[...] = WHITE
        elif not _same_place(tile, target):
            target[...] = tile[source]
    return out


def read_means(tiles: Tiles, box: Box, factors: tuple[int, int], out: NDArray[np.uint8]) -> None:
    """Means over whole blocks of `factors` pixels of a window, written to `out` (box.height / fy, box.width / fx, 3).

    Where blocks do not lie across the edges of tiles, each tile is averaged by itself while the processor still holds it.
    """
    (fx, fy), level = factors, tiles.level
    width, height = level.tile_size
    ends = level.width - box.x, level.height - box.y
    fits = not (width % fx or height % fy or box.x % fx or box.y % fy)
    # a level that ends within a block is completed with white
    if not fits or (0 < ends[0] < box.width and ends[0] % fx) or (0 < ends[1] < box.height and ends[1] % fy):
        window = scratch("window", (box.height, box.width, 3))
        block_mean(read_window(tiles, box, window), fx, fy, out)
        return
    small = Box(-(-box.x // fx), -(-box.y // fy), out.shape[1], out.shape[0])
    _whiten_outside(level, box, out, small, (level.width // fx, level.height // fy))
    for tile, source, (left, top, right, bottom) in _parts(tiles, box, None):
        target = out[top // fy : bottom // fy, left // fx : right // fx]
        if tile is None:
            target[...] = WHITE
        else:
            block_mean(tile[source], fx, fy, target)


def _whiten_outside(
    level: Level, box: Box, out: NDArray[np.uint8], small: Box | None = None, size: tuple[int, int] | None = None
) -> None:
    x, y, width, height = small or box
    across, down = size or (level.width, level.height)
    if x < 0 or y < 0 or x + width > across or y + height > down:
        out[...] = WHITE


def warm_window(tiles: Tiles, box: Box, should_stop: Callable[[], bool]) -> None:
    """Decode the tiles of a window into the cache; `should_stop` is asked before each of them."""
    for column, row in tiles_of(tiles.level, box):
        if should_stop():
            return
        _cached(tiles, column, row)


def _parts(
    tiles: Tiles, box: Box, out: NDArray[np.uint8] | None
) -> Iterator[tuple[NDArray[np.uint8] | None, tuple[slice, slice], tuple[int, int, int, int]]]:
    """Each tile of a window, which part of it lies there, and where in the window (left, top, right, bottom)."""
    level = tiles.level
    tile_width, tile_height = level.tile_size
    for column, row in tiles_of(level, box):
        x, y = column * tile_width, row * tile_height
        right, bottom = min(x + tile_width, level.width), min(y + tile_height, level.height)
        x0, y0 = max(x, box.x), max(y, box.y)
        x1, y1 = min(right, box.x + box.width), min(bottom, box.y + box.height)
        inside = (x0, y0, x1, y1) == (x, y, right, bottom)
        place = x0 - box.x, y0 - box.y, x1 - box.x, y1 - box.y
        if tiles.keep or not inside or (column, row) in tiles.shared or (level.index, column, row) in tiles.cache:
            tile = _cached(tiles, column, row)
        else:
            target = None if out is None else out[place[1] : place[3], place[0] : place[2]]
            whole = target is not None and target.flags.c_contiguous and target.shape == (tile_height, tile_width, 3)
            memory = target if whole else scratch("tile", (tile_height, tile_width, 3))
            tile = tiles.source.read_tile(level.index, column, row, scratch=memory)
        yield tile, (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x)), place


def _cached(tiles: Tiles, column: int, row: int) -> NDArray[np.uint8] | None:
    width, height = tiles.level.tile_size
    return tiles.cache.get(
        (tiles.level.index, column, row),
        lambda: tiles.source.read_tile(tiles.level.index, column, row, scratch=TILES.take((height, width, 3))),
        passing=not tiles.keep,
        expected=width * height * 3,
    )


def _same_place(tile: NDArray[np.uint8], target: NDArray[np.uint8]) -> bool:
    """Whether a tile was decoded right where it is wanted."""
    return tile.shape == target.shape and tile.ctypes.data == target.ctypes.data and tile.strides == target.strides


def tiles_of(level: Level, box: Box) -> Iterator[tuple[int, int]]:
    """(column, row) of the tiles that a window touches, row by row."""
    tile_width, tile_height = level.tile_size
    columns, rows = level.tiles
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
