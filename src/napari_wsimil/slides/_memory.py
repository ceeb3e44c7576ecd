"""Memory for decoded tiles that are kept: cut from large pieces, and used again when nobody holds the tile any more.

Memory fresh from the system costs a page fault for each 4 kB, up to twice the time that decoding takes on a virtual machine.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from napari_wsimil.slides._scratch import beside_borders

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PIECE = 1 << 20
"""Small, because the last of its tiles holds a whole piece: with pieces of 4 MB a panning viewer took 190 MB more."""
_LARGEST = _PIECE


class TileMemory:
    """Gives out arrays; any number of threads may ask."""

    def __init__(self) -> None:
        self._free: defaultdict[int, list[memoryview]] = defaultdict(list)
        self.forget_threads()

    def forget_threads(self) -> None:
        """A lock held while the process forked would never be released in the child."""
        self._lock = threading.Lock()

    def take(self, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
        """An array of `shape` uint8 with anything in it; its memory comes back when it and all views of it are gone."""
        size = math.prod(shape)
        if not 0 < size <= _LARGEST:
            return np.empty(shape, np.uint8)
        free = self._free[size]
        try:
            memory = free.pop()
        except IndexError:
            memory = self._more(size)
        # made over a memoryview, not cut from an array: views of it then hold this very array, not only the large piece
        array: NDArray[np.uint8] = np.frombuffer(memory, np.uint8)
        weakref.finalize(array, free.append, memory).atexit = False
        return array.reshape(shape)

    def _more(self, size: int) -> memoryview:
        with self._lock:
            for other, free in list(self._free.items()):
                if other != size:
                    # of slides with other tiles; pieces that are free as a whole go back to the system
                    free.clear()
            piece = beside_borders(_PIECE // size * size).data
        parts = [piece[start : start + size] for start in range(0, len(piece), size)]
        self._free[size].extend(parts[1:])
        return parts[0]


TILES = TileMemory()
"""The memory of the tiles of all slides."""
