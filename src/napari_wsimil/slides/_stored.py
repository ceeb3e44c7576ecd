"""The tiles of a file as the core reads them: a damaged one is background, a closed slide says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_wsimil.errors import SlideError
from napari_wsimil.slides.backends.base import TileError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_wsimil.slides._damage import DamageReport
    from napari_wsimil.slides.backends.base import Backend


class StoredTiles:
    """Tiles of a backend.

    Attributes
    ----------
    closed
        Set when the slide is closed: later reads raise `SlideError`.
    """

    def __init__(self, backend: Backend, path: Path, damage: DamageReport) -> None:
        self.levels = backend.levels
        self.reduces = backend.reduces
        self.closed = False
        self._backend, self._path, self._damage = backend, path, damage
        self.stamp = stamp(path)

    def check_open(self) -> None:
        """Raise `SlideError` if the slide was closed."""
        if self.closed:
            raise SlideError(f"{self._path.name} was closed; open the slide again to read from it.")

    def read_tile(
        self, level: int, column: int, row: int, scratch: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8] | None:
        """See `Backend.read_tile`; of a damaged tile what is left of it, None for nothing."""
        self.check_open()
        try:
            return self._backend.read_tile(level, column, row, scratch)
        except TileError as error:
            return self._damaged(level, column, row, error)

    def read_tile_reduced(self, level: int, column: int, row: int, factor: int) -> NDArray[np.uint8] | None:
        """See `Backend.read_tile_reduced`; None for a damaged tile too."""
        self.check_open()
        try:
            return self._backend.read_tile_reduced(level, column, row, factor)
        except TileError as error:
            return self._damaged(level, column, row, error)

    def _damaged(self, level: int, column: int, row: int, error: TileError) -> NDArray[np.uint8] | None:
        if stamp(self._path) != self.stamp:
            self._damage.changed()
        else:
            self._damage.add(self.levels[level], column, row, error)
        return error.pixels


def stamp(path: Path) -> tuple[int, ...]:
    """What changes when a file is written or replaced; empty where there is none."""
    try:
        about = path.stat()
    except OSError:
        return ()
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns
