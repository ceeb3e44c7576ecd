"""Dask arrays of levels whose slicing costs what the window costs, not what the level costs.

Slicing a normal Dask array walks a graph of all chunks of the level: 10 to 150 ms on a large slide before any pixel is read.
`WindowArray` answers the slices that a viewer makes by an array of that window alone.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np

from napari_wsimil.slides._window import Box

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_wsimil.slides._colour import Colour
    from napari_wsimil.slides.backends.base import Level
    from napari_wsimil.slides.slide import Slide

_CHUNK = 512
_ONE_PIECE = 1 << 22
"""Pixels of a slice that is one chunk, read by several threads at once: to put chunks together costs as much as all else."""
_META = np.empty((0, 0, 0), np.uint8)


class LevelPixels:
    """One level, or a window of it, as something that can be sliced; what Dask calls in its workers."""

    dtype = np.dtype(np.uint8)
    ndim = 3

    def __init__(self, slide: Slide, level: Level, box: Box, colour: Colour = "raw") -> None:
        self.slide, self.level, self.box, self.colour = slide, level, box, colour
        self.shape = (box.height, box.width, 3)

    def __getitem__(self, index: tuple[slice, slice, slice]) -> NDArray[np.uint8]:
        rows, columns, channels = (part.indices(length) for part, length in zip(index, self.shape, strict=True))
        box = Box(self.box.x + columns[0], self.box.y + rows[0], columns[1] - columns[0], rows[1] - rows[0])
        return self.slide.read_level_window(self.level, box, colour=self.colour)[..., channels[0] : channels[1]]


class WindowArray(da.Array):
    """A level, (rows, columns, 3) uint8. A Dask array in every way; small slices do not touch the graph of the whole level."""

    pixels: LevelPixels
    withholds_whole: Callable[[WindowArray], bool] | None = None
    """Asked when more than a quarter of the level is sliced at once; where it says so, the first pixel is all there is. For a
    viewer that would load a level of gigabytes whole."""

    def __getitem__(self, index: Any) -> Any:
        windows = _basic(index, self.shape)
        if windows is None or 4 * _count(windows[0]) * _count(windows[1]) > self.shape[0] * self.shape[1]:
            if self.withholds_whole is not None and self.withholds_whole(self):
                return self[:1, :1]
            return super().__getitem__(index)  # type: ignore[no-untyped-call]
        (top, bottom), (left, right), _ = windows
        box = Box(left, top, right - left, bottom - top)
        chunks: tuple[tuple[int, ...], ...] = (_cut(self.chunks[0], top, bottom), _cut(self.chunks[1], left, right), (3,))
        if box.width * box.height <= _ONE_PIECE:
            chunks = (box.height,), (box.width,), (3,)
        small = _from_pixels(LevelPixels(self.pixels.slide, self.pixels.level, box, self.pixels.colour), chunks, da.Array)
        rest = index if isinstance(index, tuple) else (index,)
        return small[_after(rest, windows, self.ndim)]


def level_array(slide: Slide, level: Level, colour: Colour = "raw") -> WindowArray:
    """The array of a level, stored or virtual, in chunks of about 512 px that are whole tiles where tiles allow it."""
    step_x, step_y = (_step(side) for side in level.tile_size)
    chunks = (_split(level.height, step_y), _split(level.width, step_x), (3,))
    pixels = LevelPixels(slide, level, Box(0, 0, level.width, level.height), colour)
    array: WindowArray = _from_pixels(pixels, chunks, WindowArray)
    array.pixels = pixels
    return array


def _step(side: int) -> int:
    """Whole tiles of 512 to 1023 px; 512 px where a tile is larger, or so small that it must be a strip."""
    if not _CHUNK // 8 <= side < 2 * _CHUNK:
        return _CHUNK
    return side * -(-_CHUNK // side)


def _from_pixels(pixels: LevelPixels, chunks: tuple[tuple[int, ...], ...], kind: type[Any]) -> Any:
    box = pixels.box
    # the size of the level, not its number: virtual levels are numbered after the stored ones
    level = f"{pixels.slide.fingerprint}-{pixels.level.width}x{pixels.level.height}"
    name = f"wsi-{pixels.colour}-{level}-{box.x}-{box.y}-{box.width}-{box.height}"
    plain = da.from_array(  # type: ignore[no-untyped-call]
        pixels, chunks=chunks, name=name, lock=False, asarray=False, fancy=False, meta=_META
    )
    return kind(plain.dask, plain.name, plain.chunks, meta=_META)


def _split(length: int, step: int) -> tuple[int, ...]:
    whole, rest = divmod(length, step)
    return (step,) * whole + ((rest,) if rest else ())


def _cut(chunks: tuple[int, ...], start: int, stop: int) -> tuple[int, ...]:
    """Lengths of the chunks of start:stop, cut where the chunks of the whole are cut."""
    step = chunks[0]
    edges = [start, *range((start // step + 1) * step, stop, step), stop]
    return tuple(b - a for a, b in pairwise(edges))


def _count(window: tuple[int, int]) -> int:
    return window[1] - window[0]


def _expand(index: Any, ndim: int) -> tuple[Any, ...] | None:
    """The index with one entry for each axis, or None where it has others than slices, integers and one ellipsis."""
    parts = list(index) if isinstance(index, tuple) else [index]
    dots = [i for i, part in enumerate(parts) if part is Ellipsis]
    if not all(part is Ellipsis or isinstance(part, (slice, int, np.integer)) for part in parts) or len(dots) > 1:
        return None
    if len(parts) - len(dots) > ndim:
        return None
    at = dots[0] if dots else len(parts)
    fill = [slice(None)] * (ndim - len(parts) + len(dots))
    return tuple(parts[:at] + fill + parts[at + len(dots) :])


def _basic(index: Any, shape: tuple[int, ...]) -> list[tuple[int, int]] | None:
    """The window (start, stop) on each axis that a basic index touches; None for any other index, or an empty one."""
    parts = _expand(index, len(shape))
    if parts is None:
        return None
    windows: list[tuple[int, int]] = []
    for part, length in zip(parts, shape, strict=True):
        if isinstance(part, slice):
            start, stop, step = part.indices(length)
            if step != 1 or stop <= start:
                return None
        else:
            start = int(part) + (length if part < 0 else 0)
            stop = start + 1
            if not 0 <= start < length:
                return None
        windows.append((start, stop))
    return windows


def _after(index: tuple[Any, ...], windows: list[tuple[int, int]], ndim: int) -> tuple[Any, ...]:
    """What remains to be done on the array of the window: drop the axes of integers, cut the channels."""
    parts = _expand(index, ndim) or ()
    rows, columns = (slice(None) if isinstance(part, slice) else 0 for part in parts[:2])
    channels = slice(*windows[2]) if isinstance(parts[2], slice) else windows[2][0]
    return rows, columns, channels
