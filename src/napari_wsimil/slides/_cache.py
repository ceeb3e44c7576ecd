"""Decoded tiles, kept for all open slides of the process together up to one number of bytes."""

from __future__ import annotations

import os
import threading
from collections import Counter, OrderedDict
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple

from napari_wsimil.errors import WsimilError
from napari_wsimil.slides._memory import TILES

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    import numpy as np
    from numpy.typing import NDArray

    Tile = NDArray[np.uint8] | None

_MOST = 512 << 20
_SHARE_OF_MEMORY = 10
_SHARE_PASSING = 4
_OVERHEAD = 64
"""Bytes counted for an entry without its pixels."""


class CacheInfo(NamedTuple):
    """State of the tile cache: bytes in use (tiles being decoded included), their limit, reads answered from it and not."""

    bytes: int
    limit: int
    hits: int
    misses: int


class TileCache:
    """Least-recently-used tiles up to `limit` bytes. Two threads that want the same tile decode it once.

    Tiles that only pass through (a patch reader wants the edges of its patches again soon) take no more than a quarter of the
    limit, so that an inference pass does not push out what a viewer shows. A tile made while another waits must not need the
    waiting one; virtual levels only ever need finer ones.

    Attributes
    ----------
    bytes
        In use now; tiles being decoded are counted at their expected size.
    """

    def __init__(self, limit: int = _MOST) -> None:
        self.limit = limit
        self.bytes = self.hits = self.misses = 0
        self._passing_bytes = 0
        self._kept: OrderedDict[Hashable, Tile] = OrderedDict()
        self._passing: OrderedDict[Hashable, Tile] = OrderedDict()
        self._owners: Counter[str] = Counter()
        self.forget_threads()

    def forget_threads(self) -> None:
        """A lock held and a tile awaited while the process forked would never be released in the child."""
        self._lock = threading.Lock()
        self._pending: dict[Hashable, Future[Tile] | None] = {}

    def __contains__(self, key: Hashable) -> bool:
        # one look-up is atomic, and what it says may be old in the next moment with a lock too
        return key in self._kept or key in self._passing

    def get(self, key: Hashable, make: Callable[[], Tile], *, passing: bool = False, expected: int = 0) -> Tile:
        """The tile, made by `make` where it is not kept; None is kept too (background).

        Parameters
        ----------
        passing
            Wanted again soon, but not for long.
        expected
            Bytes to count while it is made.
        """
        with self._lock:
            if key in self._kept or key in self._passing:
                self.hits += 1
                return self._touch(key, passing=passing)
            self.misses += 1
            pending = self._await(key)
            if pending is None:
                self._make_room(expected)
        if pending is not None:
            return pending.result()
        try:
            tile = make()
        except BaseException as error:
            with self._lock:
                waiting = self._pending.pop(key, None)
                self.bytes -= expected
            if waiting is not None:
                waiting.set_exception(error)
            raise
        with self._lock:
            waiting = self._pending.pop(key, None)
            self.bytes -= expected
            self._keep(key, tile, passing=passing)
        if waiting is not None:
            waiting.set_result(tile)
        return tile

    def _await(self, key: Hashable) -> Future[Tile] | None:
        """The tile that another thread is making; None, and it is this one's to make, if no other is."""
        if key not in self._pending:
            self._pending[key] = None
            return None
        pending = self._pending[key]
        if pending is None:
            # made only where somebody waits: it costs as much as all the rest here
            pending = self._pending[key] = Future()
        return pending

    def _touch(self, key: Hashable, *, passing: bool) -> Tile:
        if key in self._passing:
            if passing:
                self._passing.move_to_end(key)
                return self._passing[key]
            tile = self._passing.pop(key)
            self._passing_bytes -= _cost(tile)
            self._kept[key] = tile
        self._kept.move_to_end(key)
        return self._kept[key]

    def _keep(self, key: Hashable, tile: Tile, *, passing: bool) -> None:
        if isinstance(key, tuple) and isinstance(key[0], str) and not self._owners[key[0]]:
            return
        self._make_room(_cost(tile))
        if passing:
            self._passing_bytes += _cost(tile)
        (self._passing if passing else self._kept)[key] = tile
        self._make_room(0)

    def _make_room(self, count: int) -> None:
        """Count so many bytes more; drop passing tiles above their share, then the least recently used."""
        self.bytes += count
        while self._passing and (self._passing_bytes > self.passing_limit or (self.bytes > self.limit and not self._kept)):
            cost = _cost(self._passing.popitem(last=False)[1])
            self._passing_bytes -= cost
            self.bytes -= cost
        while self.bytes > self.limit and self._kept:
            self.bytes -= _cost(self._kept.popitem(last=False)[1])

    @property
    def passing_limit(self) -> int:
        """Bytes that passing tiles may take."""
        return self.limit // _SHARE_PASSING

    def set_limit(self, limit: int) -> None:
        """Set the limit; drops what is too much."""
        with self._lock:
            self.limit = limit
            self._make_room(0)

    def open(self, owner: str) -> None:
        """Keep tiles whose key starts with `owner` from now on; may be called for several openings of one slide."""
        with self._lock:
            self._owners[owner] += 1

    def close(self, owner: str) -> None:
        """One opening less; with the last one its tiles are dropped."""
        with self._lock:
            self._owners[owner] -= 1
            if self._owners[owner] > 0:
                return
            del self._owners[owner]
            self._drop(lambda key: isinstance(key, tuple) and key[0] == owner)

    def _drop(self, chosen: Callable[[Hashable], bool]) -> None:
        for tiles in (self._kept, self._passing):
            for key in [key for key in tiles if chosen(key)]:
                cost = _cost(tiles.pop(key))
                self.bytes -= cost
                self._passing_bytes -= cost if tiles is self._passing else 0

    def clear(self, owner: str | None = None) -> None:
        """Forget all tiles, or those of one owner."""
        with self._lock:
            self._drop(lambda key: owner is None or (isinstance(key, tuple) and key[0] == owner))

    def info(self) -> CacheInfo:
        """What is used of it."""
        with self._lock:
            return CacheInfo(self.bytes, self.limit, self.hits, self.misses)


class SlideTiles:
    """The part of a cache that belongs to one opening of a slide; other openings of the same pixels share it."""

    def __init__(self, cache: TileCache, owner: str) -> None:
        self.owner = owner
        self._cache = cache
        self._open = True
        cache.open(owner)

    @property
    def limit(self) -> int:
        """Bytes for the tiles of all slides."""
        return self._cache.limit

    @property
    def passing_limit(self) -> int:
        """Bytes for tiles that only pass through."""
        return self._cache.passing_limit

    def __contains__(self, key: tuple[int, int, int]) -> bool:
        return (self.owner, *key) in self._cache

    def get(self, key: tuple[int, int, int], make: Callable[[], Tile], *, passing: bool = False, expected: int = 0) -> Tile:
        """See `TileCache.get`; the key is (level, column, row)."""
        return self._cache.get((self.owner, *key), make, passing=passing, expected=expected)

    def clear(self) -> None:
        """Forget the tiles of this slide."""
        self._cache.clear(self.owner)

    def close(self) -> None:
        """Drop the tiles, unless the slide is open elsewhere too; may be called twice."""
        if self._open:
            self._open = False
            self._cache.close(self.owner)


def _cost(tile: Tile) -> int:
    return _OVERHEAD if tile is None else tile.nbytes + _OVERHEAD


def _default_limit() -> int:
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not told on Windows
        return _MOST
    return min(_MOST, memory // _SHARE_OF_MEMORY)


SHARED = TileCache(_default_limit())
"""The cache of all slides of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=SHARED.forget_threads)
    os.register_at_fork(after_in_child=TILES.forget_threads)


def set_cache_limit(limit: int) -> None:
    """Let decoded tiles of all open slides take at most `limit` bytes; the default is 512 MB, or a tenth of a smaller memory.

    Raises
    ------
    WsimilError
        It is negative.
    """
    if limit < 0:
        raise WsimilError(f"The tile cache can't be limited to {limit} bytes; give 0 or more.")
    SHARED.set_limit(int(limit))


def cache_info() -> CacheInfo:
    """Bytes that decoded tiles take now, their limit, and how many tiles were and were not there when wanted."""
    return SHARED.info()
