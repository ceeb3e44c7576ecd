"""A level put together from stored tiles that overlap or lie anywhere on a canvas.

Ventana, Trestle and Leica slides are such: what is stored as a regular grid of tiles is not where it belongs. Positions that
are no whole pixels (Ventana states mean overlaps) are rounded, so every pixel shown is one that was scanned, at most half a
pixel from where OpenSlide shows it, which interpolates instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

import numpy as np

from napari_wsimil.slides._cache import SHARED, SlideTiles
from napari_wsimil.slides._memory import TILES
from napari_wsimil.slides.backends.base import TileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_wsimil.slides.backends.byte_reader import ByteReader
    from napari_wsimil.slides.backends.tiff.planes import Plane

    Indices = NDArray[np.int64]

_TILE = 512


@dataclass(frozen=True)
class Axis:
    """Where the pieces of an area lie in one direction, and where in the stored image they come from.

    Parameters
    ----------
    start
        Canvas pixel of the first piece.
    step
        Canvas pixels from one piece to the next; at least half of `size`, so that at most two pieces share a pixel.
    size
        Pixels of a piece. Stored tiles hold one or a whole number of pieces.
    count
        Number of pieces.
    first
        Which piece of the stored image the first one is.
    stored
        Pixels of the stored image; what hangs over its edge is not shown.
    """

    start: float
    step: float
    size: int
    count: int
    first: int
    stored: int

    def touches(self, begin: int, length: int) -> bool:
        """Whether there may be pieces within so many pixels of the canvas."""
        return begin + length > self.start - 1 and begin < self.start + (self.count - 1) * self.step + self.size + 1

    def sources(self, begin: int, length: int) -> tuple[Indices, Indices]:
        """Pixels of the stored image for `length` pixels of the canvas, -1 where there is none.

        Returns
        -------
        The later of two pieces that overlap, which is on top, and the earlier one.
        """
        pixels = np.arange(begin, begin + length)
        last = np.clip(np.floor((pixels + 0.5 - self.start) / self.step).astype(np.int64), 0, self.count - 1)
        # rounding may have shifted that by one either way
        later = np.minimum(last + 1, self.count - 1)
        last = np.where(self._place(later) <= pixels, later, last)
        last = np.where(self._place(last) > pixels, np.maximum(last - 1, 0), last)
        top, under = self._source(last, pixels), self._source(np.maximum(last - 1, 0), pixels)
        return np.where(top >= 0, top, under), np.where(under >= 0, under, top)

    def _place(self, pieces: Indices) -> Indices:
        return np.floor(self.start + pieces * self.step + 0.5).astype(np.int64)

    def _source(self, pieces: Indices, pixels: Indices) -> Indices:
        inside = pixels - self._place(pieces)
        source = (self.first + pieces) * self.size + inside
        return np.where((inside >= 0) & (inside < self.size) & (source < self.stored), source, -1)


class Area(NamedTuple):
    """A regular grid of pieces of one stored image, somewhere on the canvas."""

    plane: Plane
    across: Axis
    down: Axis


def new_native_tiles() -> SlideTiles:
    """Where the decoded stored tiles of a slide are kept while tiles of the canvas share them: the cache of all slides.

    Their owner is nobody else, so they are not mixed up with tiles of the canvas.
    """
    return SlideTiles(SHARED, f"native tiles {uuid4().hex}")


class Mosaic:
    """One level: a white canvas with areas on it (`StoredImage`).

    Parameters
    ----------
    width, height
        Pixels of the canvas.
    areas
        An earlier area lies on top of a later one. Within an area the tile further down is on top, then the one further right:
        OpenSlide's order.
    native_tiles
        Decoded stored tiles, shared by the levels of a slide.
    """

    def __init__(self, width: int, height: int, areas: Sequence[Area], native_tiles: SlideTiles) -> None:
        self.width, self.height = width, height
        self.areas = list(areas)
        self._native_tiles = native_tiles
        self.tile_size = _near_512(areas[0].plane.tile_size)

    def cut(self, size: int) -> tuple[int, int]:
        """See `StoredImage.cut`."""
        planes = {id(area.plane): area.plane for area in self.areas}.values()
        lost, stored = zip(*(plane.cut(size) for plane in planes), strict=True)
        return sum(lost), sum(stored)

    def looks_sound(self, reader: ByteReader) -> bool:
        """See `StoredImage.looks_sound`."""
        return any(area.plane.looks_sound(reader) for area in self.areas)

    def read_tile(
        self, reader: ByteReader, column: int, row: int, scratch: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8] | None:
        """See `Backend.read_tile`.

        Every stored tile that touches this one is decoded once and kept for its neighbours. A damaged one counts as not stored,
        and the rest comes with the `TileError`.
        """
        width, height = self.tile_size
        x, y = column * width, row * height
        size = min(height, self.height - y), min(width, self.width - x)
        areas = [a for a in reversed(self.areas) if a.across.touches(x, size[1]) and a.down.touches(y, size[0])]
        if not areas:
            return None
        out = np.empty((*size, 3), np.uint8) if scratch is None else scratch[: size[0], : size[1]]
        out[...] = 255
        damage: list[TileError] = []
        painted = [_paint(area, self._reading(reader, area.plane, damage), out, x, y) for area in areas]
        if damage:
            raise TileError(str(damage[0]), out) from damage[0]
        return out if any(painted) else None

    def _reading(
        self, reader: ByteReader, plane: Plane, damage: list[TileError]
    ) -> Callable[[int, int], NDArray[np.uint8] | None]:
        width, height = plane.tile_size

        def decode(column: int, row: int) -> NDArray[np.uint8] | None:
            return plane.read_tile(reader, column, row, TILES.take((height, width, 3)))

        def read(column: int, row: int) -> NDArray[np.uint8] | None:
            key = (id(plane), column, row)
            try:
                return self._native_tiles.get(key, lambda: decode(column, row), passing=True, expected=3 * width * height)
            except TileError as error:
                damage.append(error)
                return None

        return read


def _near_512(native: tuple[int, int]) -> tuple[int, int]:
    """Tiles of the canvas: small stored tiles are put together, large ones cut, so that few are decoded for few pixels."""
    width, height = (min(_TILE, side * max(1, round(_TILE / side))) for side in native)
    return width, height


def _paint(area: Area, read: Callable[[int, int], NDArray[np.uint8] | None], out: NDArray[np.uint8], x: int, y: int) -> bool:
    """Paint what an area has for a window that begins at (x, y); whether there was anything."""
    columns, columns_under = area.across.sources(x, out.shape[1])
    rows, rows_under = area.down.sources(y, out.shape[0])
    painted, hole = _paint_order(area.plane, read, out, columns, rows)
    overlapping = (columns != columns_under).any() or (rows != rows_under).any()
    if hole and overlapping:
        # where a tile was not stored, the one below it shows: paint from the bottom to the top
        for order in ((columns_under, rows_under), (columns, rows_under), (columns_under, rows), (columns, rows)):
            painted |= _paint_order(area.plane, read, out, *order)[0]
    return painted


def _paint_order(
    plane: Plane,
    read: Callable[[int, int], NDArray[np.uint8] | None],
    out: NDArray[np.uint8],
    columns: Indices,
    rows: Indices,
) -> tuple[bool, bool]:
    """Paint the pixels at these columns and rows of the stored image; whether any was stored, and whether any was not."""
    painted = hole = False
    tile_width, tile_height = plane.tile_size
    runs = list(_runs(columns, tile_width))
    for row, at_y, from_y in _runs(rows, tile_height):
        for column, at_x, from_x in runs:
            tile = read(column, row)
            if tile is None:
                hole = True
                continue
            out[at_y, at_x] = tile[from_y, from_x]
            painted = True
    return painted, hole


def _runs(sources: Indices, side: int) -> Iterator[tuple[int, slice, slice]]:
    """Runs of pixels that follow each other within one stored tile: its number, where they go, where in it they come from."""
    tiles = np.where(sources >= 0, sources // side, -1)
    breaks = np.flatnonzero((np.diff(sources) != (sources[:-1] >= 0)) | (np.diff(tiles) != 0)) + 1
    for first, end in pairwise([0, *breaks.tolist(), len(sources)]):
        tile, source = int(tiles[first]), int(sources[first])
        if tile >= 0:
            yield tile, slice(first, end), slice(source - tile * side, source - tile * side + end - first)
