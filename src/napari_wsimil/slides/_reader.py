"""What reads the pixels of one slide: windows, regions and patches over one pyramid, cache and pool."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_wsimil.errors import SlideError
from napari_wsimil.slides._levels import Pyramid
from napari_wsimil.slides._parallel import ReadPool
from napari_wsimil.slides._patches import read_patches
from napari_wsimil.slides._scaled import Window, Windows, blocks, by_tiles, read_scaled, scale_for
from napari_wsimil.slides._window import Box, Tiles, read_window, warm_window

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_wsimil.slides._cache import SlideTiles
    from napari_wsimil.slides._stored import StoredTiles
    from napari_wsimil.slides.backends.base import Level

Corner = tuple[float, float]
Resampling = Literal["area", "dct"]
RESAMPLINGS: tuple[Resampling, ...] = ("area", "dct")
_SMALL = 1 << 19
"""Pixels that one thread reads alone."""
_SHARE_KEPT = 16
"""A window is kept in the cache if it takes no more than this part of it; larger ones would push out everything else."""


class Reader:
    """Reads from the tiles of a slide; all methods may be called from many threads."""

    def __init__(self, stored: StoredTiles, cache: SlideTiles) -> None:
        self.pyramid = Pyramid(stored, cache)
        self.pool = ReadPool()
        self._stored, self._cache = stored, cache

    def window(self, level: Level, box: Box, out: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A window of a level in its pixels, into `out` (box.height, box.width, 3) uint8; several threads read large ones."""
        self._stored.check_open()
        return self._window(level, box, out, keep=True)

    def _window(self, level: Level, box: Box, out: NDArray[np.uint8], *, keep: bool) -> NDArray[np.uint8]:
        tiles = Tiles(self.pyramid, level, self._cache, keep=keep and self._may_keep(box))
        most = _SMALL // self.pyramid.pixels_decoded(level)
        if box.width * box.height <= most:
            return read_window(tiles, box, out)

        def read_band(band: Box) -> None:
            read_window(tiles, band, out[band.y - box.y : band.y - box.y + band.height])

        self.pool.run(read_band, _bands(level, box, most // 4))
        return out

    def _may_keep(self, box: Box) -> bool:
        return box.width * box.height * 3 <= self._cache.limit // _SHARE_KEPT

    def scaled(
        self, corner: Corner, ratio: tuple[float, float], out: NDArray[np.uint8], *, keep: bool, resampling: str
    ) -> None:
        """A region at any magnification, from its corner in level-0 pixels, into `out` (height, width, 3) uint8."""
        self._stored.check_open()
        level, windows = self._windows(np.array([corner], np.float64), ratio, out.shape[1::-1], resampling)
        if windows.fx == windows.fy == 1:
            self._window(level, windows.boxes[0], out, keep=keep)
            return
        tiles = Tiles(self.pyramid, level, self._cache, keep=keep and self._may_keep(windows.boxes[0]))

        def read_piece(piece: tuple[Window, Box]) -> None:
            part, place = piece
            read_scaled(tiles, part, out[place.y : place.y + place.height, place.x : place.x + place.width])

        self.pool.run(read_piece, blocks(windows.at(0), level))

    def patches(
        self, corners: NDArray[np.float64], ratio: tuple[float, float], out: NDArray[np.uint8], resampling: str
    ) -> None:
        """Squares at (n, 2) level-0 corners into `out` (n, size, size, 3) uint8."""
        self._stored.check_open()
        level, windows = self._windows(corners, ratio, out.shape[2:0:-1], resampling)
        read_patches(self.pyramid, self._cache, level, windows, self.pool, out)

    def _windows(
        self, corners: NDArray[np.float64], ratio: tuple[float, float], size: tuple[int, ...], resampling: str
    ) -> tuple[Level, Windows]:
        scale = scale_for(self.pyramid, ratio, dct=resampling == "dct")
        return by_tiles(self.pyramid, scale.level, scale.windows(corners, size, ratio))

    def warm(self, level: Level, box: Box, should_stop: Callable[[], bool]) -> None:
        """Decode the tiles of a window into the cache."""
        self._stored.check_open()
        warm_window(Tiles(self.pyramid, level, self._cache), box, should_stop)

    def close(self) -> None:
        """Reads under way finish, later ones raise `SlideError`."""
        self._stored.closed = True
        self.pool.close()
        self._cache.close()


def _bands(level: Level, box: Box, pixels: int) -> list[Box]:
    """A window cut between rows of tiles into pieces of about so many pixels."""
    step = level.tile_size[1]
    rows = max(1, round(pixels / box.width / step)) * step
    edges = [box.y, *range((box.y // rows + 1) * rows, box.y + box.height, rows), box.y + box.height]
    return [Box(box.x, top, box.width, bottom - top) for top, bottom in pairwise(edges)]


def check_resampling(resampling: str) -> None:
    """Raise `SlideError` for what is no way to resample."""
    if resampling not in RESAMPLINGS:
        raise SlideError(f"Pixels are resampled by {' or '.join(map(repr, RESAMPLINGS))}, not {resampling!r}.")


def checked_out(out: NDArray[np.uint8] | None, shape: tuple[int, ...], what: str) -> NDArray[np.uint8]:
    """`out` if it fits, a new array for None; raises `SlideError` for one of another shape or type."""
    if out is None:
        return np.empty(shape, np.uint8)
    if out.shape != shape or out.dtype != np.uint8:
        raise SlideError(f"{what} of shape {shape} uint8 do not fit into an array of {out.shape} {out.dtype}.")
    return out
