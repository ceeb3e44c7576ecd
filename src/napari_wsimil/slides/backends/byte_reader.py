"""Bytes of a file from many threads at once, without a shared position and without a lock held while reading."""

from __future__ import annotations

import hashlib
import mmap
import os
import threading
from typing import TYPE_CHECKING

from napari_wsimil.errors import SlideError

if TYPE_CHECKING:
    from pathlib import Path


class ByteReader:
    """`pread` on a descriptor of our own; a memory map on Windows, which has no `pread`.

    The descriptor is closed by whoever is last: `close` or the last reader still active, so that a number given back to the
    system is never read from.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._active = 0
        self._closed = True
        self._fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
        self.size = os.fstat(self._fd).st_size
        self._map = _memory_map(self._fd)
        self._closed = False

    def read(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset`; fewer at the end of the file.

        Raises
        ------
        SlideError
            The slide was closed.
        """
        with self._lock:
            if self._closed:
                raise SlideError(f"{self.path.name} was closed; open the slide again to read from it.")
            self._active += 1
        try:
            if self._map is not None:
                return self._map[offset : offset + count]
            return os.pread(self._fd, count, offset)
        finally:
            self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._active -= 1
            last = self._closed and not self._active
        if last:
            self._release()

    def close(self) -> None:
        """No read starts from now on; those under way finish."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            idle = not self._active
        if idle:
            self._release()

    def __del__(self) -> None:
        self.close()

    def _release(self) -> None:
        if self._map is not None:
            self._map.close()
        os.close(self._fd)


def _memory_map(fd: int) -> mmap.mmap | None:
    return None if hasattr(os, "pread") else mmap.mmap(fd, 0, access=mmap.ACCESS_READ)


def file_digest(path: Path) -> bytes:
    """SHA-256 of the size, the first 256 kB, and 64 kB at the quarters and the end: cheap, and the same for every copy."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(1 << 18))
        for offset in (size // 4, size // 2, size * 3 // 4, max(0, size - (1 << 16))):
            file.seek(offset)
            digest.update(file.read(1 << 16))
    return digest.digest()
