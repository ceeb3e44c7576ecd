"""The levels to show: the stored ones, completed with virtual ones so that each step is about 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_wsimil.slides._resample import resample
from napari_wsimil.slides._window import around, read_window
from napari_wsimil.slides.backends.base import Level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from napari_wsimil.slides._cache import TileCache

_TILE = 512
_SMALLEST = 1024
_LARGEST_STEP = 2.5


class Pyramid:
    """Stored and virtual levels behind one numbering of tiles; each virtual level is the area mean of the next finer one.

    Attributes
    ----------
    levels
        Finest first, down to one of at most 1024 px on its long side; virtual ones are numbered after the stored ones.
    """

    def __init__(
        self, stored: tuple[Level, ...], cache: TileCache, read_stored: Callable[..., NDArray[np.uint8] | None]
    ) -> None:
        self._stored = len(stored)
        self._cache = cache
        self._read_stored = read_stored
        self._virtual: dict[int, tuple[Level, Level]] = {}
        shown: list[Level] = []
        for level, coarser in zip(stored, (*stored[1:], None), strict=True):
            shown.append(level)
            for width, height in _halvings(level, coarser):
                virtual = Level(len(stored) + len(self._virtual), width, height, stored[0].width / width, (_TILE, _TILE))
                self._virtual[virtual.index] = virtual, shown[-1]
                shown.append(virtual)
        self.levels = tuple(shown)

    def read_tile(
        self, level: int, column: int, row: int, scratch: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8] | None:
        """See `Backend.read_tile`."""
        if level < self._stored:
            return self._read_stored(level, column, row, scratch)
        about, finer = self._virtual[level]
        x, y = column * _TILE, row * _TILE
        width, height = min(_TILE, about.width - x), min(_TILE, about.height - y)
        fx, fy = finer.width / about.width, finer.height / about.height
        box, window = around(x * fx, y * fy, (x + width) * fx, (y + height) * fy)
        return resample(read_window(self, finer, self._cache, box), window, (width, height))


def _halvings(level: Level, coarser: Level | None) -> Iterator[tuple[int, int]]:
    """Sizes of the virtual levels between a stored level and the next one, or the end of the pyramid."""
    width, height = level.width, level.height
    while width / coarser.width > _LARGEST_STEP if coarser else max(width, height) > _SMALLEST:
        width, height = max(1, round(width / 2)), max(1, round(height / 2))
        yield width, height
