"""Decoded tiles that several readers want, kept up to a number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    import numpy as np
    from numpy.typing import NDArray

    Tile = NDArray[np.uint8] | None


class TileCache:
    """Least-recently-used tiles up to `limit` bytes. Two threads that want the same tile decode it once.

    A tile made while another waits must not need the waiting one; virtual levels only ever need finer ones.
    """

    def __init__(self, limit: int = 256 << 20) -> None:
        self.limit = limit
        self.bytes = 0
        self._lock = threading.Lock()
        self._tiles: OrderedDict[Hashable, Tile] = OrderedDict()
        self._pending: dict[Hashable, Future[Tile]] = {}

    def __contains__(self, key: Hashable) -> bool:
        with self._lock:
            return key in self._tiles

    def get(self, key: Hashable, make: Callable[[], Tile]) -> Tile:
        """The tile, made by `make` where it is not kept; None is kept too (background)."""
        with self._lock:
            if key in self._tiles:
                self._tiles.move_to_end(key)
                return self._tiles[key]
            pending = self._pending.get(key)
            if pending is None:
                mine = self._pending[key] = Future()
        if pending is not None:
            return pending.result()
        try:
            tile = make()
        except BaseException as error:
            with self._lock:
                del self._pending[key]
            mine.set_exception(error)
            raise
        self._keep(key, tile)
        mine.set_result(tile)
        return tile

    def _keep(self, key: Hashable, tile: Tile) -> None:
        with self._lock:
            del self._pending[key]
            self._tiles[key] = tile
            self.bytes += _cost(tile)
            while self.bytes > self.limit and self._tiles:
                self.bytes -= _cost(self._tiles.popitem(last=False)[1])

    def clear(self) -> None:
        """Forget all tiles."""
        with self._lock:
            self._tiles.clear()
            self.bytes = 0


def _cost(tile: Tile) -> int:
    return 64 if tile is None else tile.nbytes + 64
