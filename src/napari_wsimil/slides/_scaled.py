"""A region at any magnification, from the nearest finer stored level."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_wsimil.slides._resample import resample
from napari_wsimil.slides._scratch import scratch
from napari_wsimil.slides._window import Box, Tiles, around, read_window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.slides._levels import Pyramid
    from napari_wsimil.slides.backends.base import Level

_TOLERANCE = 1.02
"""A level up to 2 % coarser than asked for counts as that magnification: scanners say 0.2525 and mean 0.25."""
_BLOCK_PIXELS = 1 << 22
"""Pixels of a stored level held in memory at once while shrinking."""


class Window(NamedTuple):
    """A region in pixels of the level that it is read from: left, top, pixels per result pixel, size of the result.

    `fx` and `fy` are whole numbers, and `x` and `y` too, where whole blocks of pixels are averaged.
    """

    x: float
    y: float
    fx: float
    fy: float
    width: int
    height: int

    @property
    def box(self) -> Box:
        """The pixels of the level that are needed."""
        if self.fx == round(self.fx) and self.fy == round(self.fy):
            return Box(round(self.x), round(self.y), self.width * round(self.fx), self.height * round(self.fy))
        return around(self.x, self.y, self.x + self.width * self.fx, self.y + self.height * self.fy)[0]


class Windows(NamedTuple):
    """Windows of one size and magnification: as `Window`, but `x` and `y` are (n,) float64."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    fx: float
    fy: float
    width: int
    height: int

    @property
    def whole(self) -> bool:
        """Whether each pixel of the result is the mean of whole pixels, or one pixel."""
        return self.fx == round(self.fx) and self.fy == round(self.fy)

    @property
    def boxes(self) -> list[Box]:
        """The pixels of the level that each window needs."""
        if not self.whole:
            return [self.at(row).box for row in range(len(self.x))]
        width, height = self.width * round(self.fx), self.height * round(self.fy)
        return [Box(x, y, width, height) for x, y in zip(self.x.astype(int).tolist(), self.y.astype(int).tolist(), strict=True)]

    def at(self, row: int) -> Window:
        """One of them."""
        return Window(float(self.x[row]), float(self.y[row]), *self[2:])


class Scale(NamedTuple):
    """From where a magnification is read: a stored or reduced level, and level-0 pixels per pixel of it in x and y."""

    level: Level
    origin: tuple[float, float]

    def windows(self, corners: NDArray[np.float64], size: tuple[int, ...], ratio: tuple[float, float]) -> Windows:
        """Place regions of one (width, height) on the level, from their (n, 2) corners in level-0 pixels.

        Where the level, or whole blocks of its pixels, fit so well that nothing moves by more than half a pixel of the result,
        pixels are taken (or averaged) as stored; everywhere else fractions of pixels count.
        """
        x, fx = _snap(corners[:, 0] / self.origin[0], ratio[0] / self.origin[0], size[0])
        y, fy = _snap(corners[:, 1] / self.origin[1], ratio[1] / self.origin[1], size[1])
        return Windows(x, y, fx, fy, *size)


def nearest_finer(levels: tuple[Level, ...], ratio: tuple[float, float]) -> Level:
    """The coarsest level that is not coarser than `ratio` level-0 pixels per pixel (2 % allowed), else level 0."""
    wanted = min(ratio) * _TOLERANCE
    return max((level for level in levels if level.downsample <= wanted), key=lambda level: level.downsample, default=levels[0])


def scale_for(pyramid: Pyramid, ratio: tuple[float, float], *, dct: bool) -> Scale:
    """Where to read `ratio` level-0 pixels per pixel; with `dct` the decoder shrinks as far as it can."""
    stored = pyramid.stored
    level, whole = nearest_finer(stored, ratio), 1
    origin = stored[0].width / level.width, stored[0].height / level.height
    if dct:
        level, whole = pyramid.coarsest_reduced(level, min(ratio[0] / origin[0], ratio[1] / origin[1]) * _TOLERANCE)
    return Scale(level, (origin[0] * whole, origin[1] * whole))


def by_tiles(pyramid: Pyramid, level: Level, windows: Windows) -> tuple[Level, Windows]:
    """The same windows in the level of means, where tiles hold whole blocks of pixels; else as they are."""
    fx, fy = windows.fx, windows.fy
    means = pyramid.means(level, round(fx)) if windows.whole and fx == fy > 1 else None
    if means is None or (windows.x % fx).any() or (windows.y % fy).any():
        return level, windows
    return means, windows._replace(x=windows.x / fx, y=windows.y / fy, fx=1.0, fy=1.0)


def read_scaled(tiles: Tiles, window: Window, out: NDArray[np.uint8]) -> None:
    """Read a window into `out` (height, width, 3) uint8; area mean where it is shrunk, white outside the slide."""
    x, y, fx, fy, width, height = window
    if fx == fy == 1:
        read_window(tiles, window.box, out)
        return
    box = window.box
    pixels = read_window(tiles, box, scratch("window", (box.height, box.width, 3)))
    inner = x - box.x, y - box.y, x + width * fx - box.x, y + height * fy - box.y
    resample(pixels, inner, (width, height), out)


def blocks(window: Window, level: Level) -> list[tuple[Window, Box]]:
    """A window in pieces that need little memory each, ending where tiles end if they can; and their places in the result."""
    sides = []
    for factor, tile in zip((window.fx, window.fy), level.tile_size, strict=True):
        side, step = max(1, int(math.sqrt(_BLOCK_PIXELS) / factor)), max(1, round(tile / factor))
        sides.append(side - side % step if side > step else side)
    pieces = []
    for top in range(0, window.height, sides[1]):
        for left in range(0, window.width, sides[0]):
            width, height = min(sides[0], window.width - left), min(sides[1], window.height - top)
            x, y = window.x + left * window.fx, window.y + top * window.fy
            pieces.append((Window(x, y, window.fx, window.fy, width, height), Box(left, top, width, height)))
    return pieces


def _snap(start: NDArray[np.float64], factor: float, count: int) -> tuple[NDArray[np.float64], float]:
    """Move starts and factor to whole pixels of the level, if that moves no end by more than half a pixel of the result."""
    whole = max(1, round(factor))
    slack = (factor - whole) * count
    if abs(slack) > whole:
        return start, factor
    return np.floor(start + slack / 2 + 0.5), whole
