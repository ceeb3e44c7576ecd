"""Damaged tiles: each is said once, with its place."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_wsimil.slides.backends.base import Level, TileError

_log = logging.getLogger(__name__)
_MOST_NOTICES = 10


class DamageReport:
    """Collects the sentences about damaged tiles of one slide; many threads may report.

    Attributes
    ----------
    notices
        At most ten sentences, then one that says that there are more.
    faults
        What the system said where it could not read: the file itself may be whole.
    """

    def __init__(self, name: str) -> None:
        self.notices: list[str] = []
        self.faults: list[OSError] = []
        self._name = name
        self._changed = False
        self._seen: set[tuple[int, int, int]] = set()
        self._lock = threading.Lock()

    def add(self, level: Level, column: int, row: int, error: TileError) -> None:
        """Say that a tile is damaged, unless it was said before."""
        with self._lock:
            if (level.index, column, row) in self._seen:
                return
            self._seen.add((level.index, column, row))
            self.faults += _system_faults(error)
            count = len(self._seen)
            x, y = (round(step * side * level.downsample) for step, side in zip((column, row), level.tile_size, strict=True))
            text = f"{self._name} has a damaged tile at x {x}, y {y} (level {level.index}, {error}); it is shown as background."
            if count <= _MOST_NOTICES:
                self.notices.append(text)
            elif count == _MOST_NOTICES + 1:
                self.notices.append(f"{self._name} has more damaged tiles, all shown as background; copy the file again.")
        _log.warning(text)

    def changed(self) -> None:
        """Say once that the file is no longer the one that was opened; what can't be read of it is background."""
        with self._lock:
            if self._changed:
                return
            self._changed = True
            text = (
                f"{self._name} was changed, cut short or removed while it was open; what can't be read is shown as background: "
                "open it again."
            )
            self.notices.append(text)
        _log.warning(text)


def _system_faults(error: BaseException) -> list[OSError]:
    """What a damaged tile comes from where the system could not read the file there."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__
    return [] if cause is None else [cause]
