"""Bytes at known places of a file."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from _typeshed import ReadableBuffer as Buffer
    from _typeshed import WriteableBuffer
    from numpy.typing import NDArray

_datasync = getattr(os, "fdatasync", os.fsync)
"""Not on macOS and Windows."""


class RawFile:
    """An open file whose bytes are read and written in place, past the library that made it; for one thread at a time.

    HDF5 itself may not be killed while it writes: it changes its tables in several steps. Bytes of a contiguous dataset belong
    to no table. A mapping of the file is no choice either: a full disk would end the process (SIGBUS) instead of raising.

    Raises
    ------
    OSError
        As `open`.
    """

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        self.file = path.open("r+b" if writable else "rb", buffering=0)

    def __len__(self) -> int:
        """Size in bytes."""
        return os.fstat(self.file.fileno()).st_size

    def read_into(self, table: NDArray[Any], offset: int) -> None:
        """Fill a C-contiguous table; raises OSError where the file ends before."""
        left = table.reshape(-1).view(np.uint8).data
        self.file.seek(offset)
        while len(left):
            count = self.file.readinto(left)
            if not count:
                raise OSError("the file ends too early")
            left = left[count:]

    def write(self, table: NDArray[Any], offset: int) -> None:
        """Write a C-contiguous table; raises OSError where the disk is full."""
        left = table.reshape(-1).view(np.uint8).data
        self.file.seek(offset)
        while len(left):
            # a disk that fills up takes a part first and refuses the rest
            left = left[self.file.write(left) or 0 :]

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        _datasync(self.file.fileno())

    def is_at(self, path: Path) -> bool:
        """Whether `path` still is this file, not one that took its place."""
        try:
            return os.path.samestat(os.fstat(self.file.fileno()), path.stat())
        except OSError:
            return False

    def close(self) -> None:
        """Close the file; may be called again."""
        self.file.close()


class PatientFile(io.FileIO):
    """A file for HDF5 to write to that keeps an error for afterwards, in `error`.

    HDF5 takes nothing back: where it can't write it can't close the file either, and ends the process with a segmentation
    fault when Python goes (seen with HDF5 2.0 on a full disk).
    """

    error: OSError | None = None

    def write(self, data: Buffer) -> int:
        """Write all of it, or keep the error."""
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while len(left):
                left = left[super().write(left) or 0 :]
        except OSError as error:
            self.error = self.error or error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Make the file so long, or keep the error."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill the buffer; what could not be written is zeros."""
        whole = memoryview(buffer).cast("B")
        count = super().readinto(whole) or 0
        whole[count:] = bytes(len(whole) - count)
        return len(whole)


def runs(rows: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """(first, start, stop) of each stretch of neighbours: rows[start:stop] counts up from `first`."""
    if len(rows) == 0:
        return []
    cuts = (np.flatnonzero(np.diff(rows) != 1) + 1).tolist()
    starts = [0, *cuts]
    return list(zip(rows[starts].tolist(), starts, [*cuts, len(rows)], strict=True))


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system knows how."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
