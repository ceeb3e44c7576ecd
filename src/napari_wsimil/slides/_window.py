"""A window of one level, put together from its tiles; white wherever there is nothing."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_wsimil.slides._cache import TileCache
    from napari_wsimil.slides.backends.base import Level

WHITE = 255
_MARGIN = 3
"""Pixels around a window that the resampling filters may look at."""
_local = threading.local()


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


def read_window(
    source: TileSource, level: Level, cache: TileCache, box: Box, *, out: NDArray[np.uint8] | None = None, keep: bool = True
) -> NDArray[np.uint8]:
    """Pixels of a window, (box.height, box.width, 3) uint8.

    Parameters
    ----------
    out
        Where to write; made where None.
    keep
        Keep all tiles in the cache. False keeps only those that are partly outside the window, which a neighbouring window
        will want; a tile that lies inside is decoded into memory that is used again and again.
    """
    if out is None:
        out = np.empty((box.height, box.width, 3), np.uint8)
    if box.x < 0 or box.y < 0 or box.x + box.width > level.width or box.y + box.height > level.height:
        out[...] = WHITE
    tile_width, tile_height = level.tile_size
    for column, row in _tiles_of(level, box):
        x, y = column * tile_width, row * tile_height
        right, bottom = min(x + tile_width, level.width), min(y + tile_height, level.height)
        inside = box.x <= x and box.y <= y and right <= box.x + box.width and bottom <= box.y + box.height
        key = (level.index, column, row)
        if keep or not inside or key in cache:
            tile = cache.get(key, lambda at=key: source.read_tile(*at))  # type: ignore[misc]
        else:
            tile = source.read_tile(*key, scratch=_scratch(tile_height, tile_width))
        x0, y0 = max(x, box.x), max(y, box.y)
        x1, y1 = min(right, box.x + box.width), min(bottom, box.y + box.height)
        target = out[y0 - box.y : y1 - box.y, x0 - box.x : x1 - box.x]
        target[...] = WHITE if tile is None else tile[y0 - y : y1 - y, x0 - x : x1 - x]
    return out


def _tiles_of(level: Level, box: Box) -> Iterator[tuple[int, int]]:
    tile_width, tile_height = level.tile_size
    columns, rows = level.tiles
    for row in range(max(0, box.y // tile_height), min(rows, -(-(box.y + box.height) // tile_height))):
        for column in range(max(0, box.x // tile_width), min(columns, -(-(box.x + box.width) // tile_width))):
            yield column, row


def _scratch(height: int, width: int) -> NDArray[np.uint8]:
    """Memory for one decoded tile, one per thread and tile size."""
    tiles: dict[tuple[int, int], NDArray[np.uint8]] = _local.__dict__.setdefault("tiles", {})
    if (height, width) not in tiles:
        tiles[height, width] = np.empty((height, width, 3), np.uint8)
    return tiles[height, width]


def around(x0: float, y0: float, x1: float, y1: float) -> tuple[Box, tuple[float, float, float, float]]:
    """The whole pixels to read for a window with fractional edges, and that window within them.

    There is a margin for the filters, unless the window ends on whole pixels.
    """
    margin = 0 if all(abs(edge - round(edge)) < 1e-6 for edge in (x0, y0, x1, y1)) else _MARGIN
    left, top = math.floor(x0 + 1e-6) - margin, math.floor(y0 + 1e-6) - margin
    box = Box(left, top, math.ceil(x1 - 1e-6) + margin - left, math.ceil(y1 - 1e-6) + margin - top)
    return box, (x0 - left, y0 - top, x1 - left, y1 - top)
