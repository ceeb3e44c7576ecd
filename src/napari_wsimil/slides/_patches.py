"""Many patches at once: each tile is decoded once for all patches that touch it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_wsimil.slides._scaled import read_scaled
from napari_wsimil.slides._scratch import scratch
from napari_wsimil.slides._window import WHITE, Tiles, tile_kept, tile_once

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.slides._cache import SlideTiles
    from napari_wsimil.slides._parallel import ReadPool
    from napari_wsimil.slides._scaled import Windows
    from napari_wsimil.slides._window import TileSource
    from napari_wsimil.slides.backends.base import Level

_RUN = 8
"""Patches that one thread reads in a row; neighbours share tiles."""
_RUN_OF_TILES = 16
"""Tiles that one thread reads in a row."""


def read_patches(
    source: TileSource, cache: SlideTiles, level: Level, windows: Windows, pool: ReadPool, out: NDArray[np.uint8]
) -> None:
    """Read windows of a level into `out` (n, height, width, 3) uint8."""
    if not len(out):
        return
    boxes = np.array(windows.boxes)
    if windows.fx == windows.fy == 1:
        _tile_by_tile(Tiles(source, level, cache, keep=False), boxes, pool, out)
    else:
        _patch_by_patch(Tiles(source, level, cache, keep=False), windows, boxes, pool, out)


def _tile_by_tile(tiles: Tiles, boxes: NDArray[np.int64], pool: ReadPool, out: NDArray[np.uint8]) -> None:
    """Copy the pixels of each tile to all patches that it touches, while the processor still holds it.

    Only tiles of which something is left over, which the next patches may want, go to the cache.
    """
    level = tiles.level
    columns, (width, height) = level.tiles[0], level.tile_size
    over = (boxes[:, :2] < 0).any(axis=1) | (boxes[:, :2] + boxes[:, 2:] > (level.width, level.height)).any(axis=1)
    out[over] = WHITE
    parts = _parts(level, boxes)
    starts = np.append(parts.starts, len(parts.rows))
    in_place = tiles.in_place(out)

    def read_run(first: int) -> None:
        spare = scratch("tile", (height, width, 3))
        used_up = parts.used_up[first : first + _RUN_OF_TILES].tolist()
        ends = starts[first : first + _RUN_OF_TILES + 1].tolist()
        rows = parts.rows[ends[0] : ends[-1]].tolist()
        for once, begin, end in zip(used_up, ends[:-1], ends[1:], strict=True):
            mine = rows[begin - ends[0] : end - ends[0]]
            index, patch, left, top, right, bottom = mine[0][:6]
            row, column = divmod(index, columns)
            alone = in_place and len(mine) == 1 and right - left == width and bottom - top == height
            memory = out[patch, top:bottom, left:right] if alone else spare
            tile = tile_once(tiles, column, row, memory) if once else tile_kept(tiles, column, row)
            if alone and tile is memory:
                continue
            for _, patch, left, top, right, bottom, x, y in mine:
                target = out[patch, top:bottom, left:right]
                target[...] = WHITE if tile is None else tile[y : y + bottom - top, x : x + right - left]

    pool.run(read_run, range(0, len(parts.starts), _RUN_OF_TILES))


class _Parts(NamedTuple):
    """What of which tile belongs to which patch.

    Parameters
    ----------
    rows
        (parts, 8), sorted by tile: its number, row by row; the patch; left, top, right, bottom within the patch; x, y of the
        left top corner within the tile.
    starts
        (tiles,) the first part of each tile.
    used_up
        (tiles,) whether the patches take all pixels of the tile.
    """

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    used_up: NDArray[np.bool_]


def _parts(level: Level, boxes: NDArray[np.int64]) -> _Parts:
    side, size = np.array(level.tile_size), np.array([level.width, level.height])
    touched = _touched(level, boxes)
    first, after = touched[:, :2], touched[:, 2:]
    found = [np.empty((0, 8), np.int64)]
    for step in np.ndindex(*(after - first).max(axis=0).tolist()):
        patches = np.flatnonzero((first + step < after).all(axis=1))
        place, box = first[patches] + step, boxes[patches]
        low = np.maximum(place * side, box[:, :2])
        high = np.minimum(np.minimum(place * side + side, size), box[:, :2] + box[:, 2:])
        number = place @ (1, level.tiles[0])
        found.append(np.column_stack([number, patches, low - box[:, :2], high - box[:, :2], low - place * side]))
    rows = np.concatenate(found)
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    tiles, starts = np.unique(rows[:, 0], return_index=True)
    taken = np.add.reduceat((rows[:, 4] - rows[:, 2]) * (rows[:, 5] - rows[:, 3]), starts) if len(starts) else tiles
    corners = np.column_stack([tiles % level.tiles[0], tiles // level.tiles[0]]) * side
    return _Parts(rows, starts, taken >= np.minimum(side, size - corners).prod(axis=1))


def _patch_by_patch(tiles: Tiles, windows: Windows, boxes: NDArray[np.int64], pool: ReadPool, out: NDArray[np.uint8]) -> None:
    """Resample each patch from a window of its own.

    A tile inside one patch only is decoded into memory that is used again; a tile of several patches, or partly outside its
    patch, passes through the cache. Patches are read in strips so narrow that the cache holds a row of their tiles.
    """
    parts = _parts(tiles.level, boxes)
    several = np.diff(parts.starts, append=len(parts.rows)) > 1
    tiles = tiles._replace(shared=frozenset(parts.rows[parts.starts[several], 0].tolist()))
    touched = _touched(tiles.level, boxes)
    strip = _strip(tiles, int((touched[:, 3] - touched[:, 1]).max()), pool.workers)
    # from the top down in each strip, so that patches that share tiles follow each other
    order = np.lexsort((windows.x, windows.y, touched[:, 0] // strip)).tolist()
    run = min(_RUN, strip)

    def read_run(start: int) -> None:
        for row in order[start : start + run]:
            read_scaled(tiles, windows.at(row), out[row])

    pool.run(read_run, range(0, len(order), run))


def _touched(level: Level, boxes: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n, 4): the first column and row of tiles that each box touches, and the ones after the last; empty outside the level."""
    # the last tiles may hang over the level, and boxes may lie there
    start, stop = np.maximum(0, boxes[:, :2]), np.minimum(boxes[:, :2] + boxes[:, 2:], (level.width, level.height))
    first = start // level.tile_size
    last = np.where(start < stop, -(-stop // level.tile_size), first)
    return np.concatenate([first, last], axis=1)


def _strip(tiles: Tiles, rows: int, workers: int) -> int:
    """Columns of tiles so few that the cache holds those of all patches in work; one more column hangs over.

    Each worker is busy in a row of patches of its own, `rows` tiles high, of which neighbours share the outermost.
    """
    width, height = tiles.level.tile_size
    held = tiles.cache.passing_limit // (width * height * 3)
    return max(1, held // (workers * max(1, rows - 1) + 2) - 1)
