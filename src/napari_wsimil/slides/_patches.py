"""Many patches at once: each tile is decoded once for all patches that touch it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from napari_wsimil.slides._scaled import Region, read_scaled
from napari_wsimil.slides._window import Tiles, tiles_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_wsimil.slides._cache import SlideTiles
    from napari_wsimil.slides._parallel import ReadPool
    from napari_wsimil.slides._scaled import Scale, Window
    from napari_wsimil.slides._window import TileSource

_RUN = 8
"""Patches that one thread reads in a row; neighbours share tiles."""


def read_patches(
    source: TileSource, cache: SlideTiles, scale: Scale, regions: list[Region], pool: ReadPool, out: NDArray[np.uint8]
) -> None:
    """Read regions of one size and magnification into `out` (n, size, size, 3) uint8.

    A tile inside one patch only is decoded into memory that is used again; a tile of several patches, or partly outside its
    patch, passes through the cache. Patches are read in strips so narrow that the cache holds a row of their tiles.
    """
    level = scale.level
    windows = [scale.window(region) for region in regions]
    touched = [list(tiles_of(level, window.box)) for window in windows]
    uses = Counter(at for tiles in touched for at in tiles)
    tiles = Tiles(source, level, cache, keep=False, shared={at for at, count in uses.items() if count > 1})
    strip = _strip(tiles, max(map(_rows, touched), default=1), pool.workers)
    order = _order(windows, touched, strip)
    run = min(_RUN, strip)

    def read_run(start: int) -> None:
        for row in order[start : start + run]:
            read_scaled(tiles, windows[row], out[row])

    pool.run(read_run, range(0, len(order), run))


def _rows(touched: list[tuple[int, int]]) -> int:
    return touched[-1][1] - touched[0][1] + 1 if touched else 1


def _order(windows: list[Window], touched: list[list[tuple[int, int]]], strip: int) -> list[int]:
    """Patches strip by strip, each from the top down, so that patches that share tiles follow each other."""

    def place(row: int) -> tuple[float, ...]:
        if not touched[row]:
            return (-1, 0, 0)
        return touched[row][0][0] // strip, windows[row].y, windows[row].x

    return sorted(range(len(windows)), key=place)


def _strip(tiles: Tiles, rows: int, workers: int) -> int:
    """Columns of tiles so few that the cache holds those of all patches in work; one more column hangs over.

    Each worker is busy in a row of patches of its own, `rows` tiles high, of which neighbours share the outermost.
    """
    width, height = tiles.level.tile_size
    held = tiles.cache.passing_limit // (width * height * 3)
    return max(1, held // (workers * max(1, rows - 1) + 2) - 1)
