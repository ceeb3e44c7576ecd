"""One JPEG of any size read piece by piece, from restart marker to restart marker.

A restart marker resets the decoder, so the bytes between two of them (an interval) are a picture of their own once a header of
its size stands in front. Intervals that lie below and beside each other are decoded together as one tile.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

import numpy as np
import simplejpeg

from napari_wsimil.slides.backends.base import DECODE_ERRORS, TileError
from napari_wsimil.slides.backends.tiff.planes import decode_jpeg, decode_reduced, read_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.slides.backends.byte_reader import ByteReader
    from napari_wsimil.slides.backends.tiff.jpeg_head import JpegHead

LARGEST_JPEG = 65500
"""Pixels in either side of a JPEG that libjpeg takes."""
_TILE = 512
"""Sides of a tile are about so many pixels; an interval alone is often 8 rows of thousands of pixels."""
_TILE_PIXELS = 1 << 22
_SCAN_BYTES = 1 << 23
_END = b"\xff\xd9"


class Intervals:
    """Where the intervals of a JPEG start: as recorded in the file, else found by looking for the markers, once.

    Parameters
    ----------
    first, end
        Position of the first interval and of the end of the JPEG in the file, in bytes.
    number
        Intervals that there must be.
    recorded
        (number,) int64 starts, or None.

    Attributes
    ----------
    end_of_file
        Less than `end` where the file was cut off.
    """

    def __init__(self, first: int, end: int, number: int, recorded: NDArray[np.int64] | None) -> None:
        self.end = self.end_of_file = end
        self._lock = threading.Lock()
        self._starts = np.empty(number + 1, np.int64) if recorded is None else np.append(recorded, end)
        self._starts[0], self._starts[-1] = first, end
        self._known = 1 if recorded is None else number
        self._scanned = first

    def span(self, reader: ByteReader, first: int, last: int) -> list[int]:
        """Starts of the intervals `first` to `last`, and of the one after.

        Raises
        ------
        TileError
            The JPEG has fewer intervals.
        """
        if last + 1 >= self._known:
            with self._lock:
                while self._known < min(last + 2, len(self._starts) - 1):
                    self._scan_on(reader)
        starts: list[int] = self._starts[first : last + 2].tolist()
        return starts

    def is_lost(self, number: int) -> bool:
        """Whether an interval ends beyond the end of the file, or was looked for up to there without being found."""
        return number + 1 >= self._known or int(self._starts[number + 1]) > self.end_of_file

    def _scan_on(self, reader: ByteReader) -> None:
        """Look for markers in the next few megabytes."""
        count = min(_SCAN_BYTES, min(self.end, self.end_of_file) - self._scanned)
        if count < 2:
            raise TileError("its restart marker is missing")
        data = np.frombuffer(read_bytes(reader, self._scanned, count), np.uint8)
        found = np.flatnonzero((data[:-1] == 0xFF) & ((data[1:] & 0xF8) == 0xD0)) + (self._scanned + 2)
        found = found[: len(self._starts) - 1 - self._known]
        self._starts[self._known : self._known + len(found)] = found
        self._known += len(found)
        # a marker may lie across the border
        self._scanned += len(data) - 1


class RestartPlane:
    """A level stored as one JPEG; a `StoredImage`.

    Parameters
    ----------
    head
        Its header.
    size
        (width, height) in pixels, which the header may not know.
    strip
        (offset, count) of the JPEG in the file, in bytes.
    recorded
        Positions of the intervals in the file as it records them, or None.

    Raises
    ------
    ValueError
        The restart markers do not make whole rows of intervals.
    """

    def __init__(
        self, head: JpegHead, size: tuple[int, int], strip: tuple[int, int], recorded: NDArray[np.int64] | None = None
    ) -> None:
        self.width, self.height = size
        self.strip = strip
        self._head = head
        self._segment, self.columns = _segment(head, size)
        self.rows = -(-self.height // self._segment[1])
        number = self.columns * self.rows
        # an interval has its marker and at least a byte of data, but for the last
        if 3 * number - 2 > strip[1]:
            raise ValueError(f"{strip[1]} bytes can't hold {self.width} x {self.height} pixels")
        if recorded is not None and len(recorded) != number:
            recorded = None
        self._intervals = Intervals(strip[0] + len(head.data), strip[0] + strip[1], number, recorded)
        self._across, self._down = self._grouping()
        self.tile_size = min(self._across * self._segment[0], self.width), min(self._down * self._segment[1], self.height)

    def _grouping(self) -> tuple[int, int]:
        """Intervals side by side and one below the other that make one tile.

        Side by side only where colour has the full width: else it would be smoothed across the border of two intervals.
        """
        width, height = self._segment
        across = max(1, min(_TILE // width, self.columns)) if self._head.block[0] == 8 else 1
        down = max(1, min(_TILE, _TILE_PIXELS // (across * width)) // height)
        return across, min(down, self.rows)

    def cut(self, size: int) -> tuple[int, int]:
        """See `StoredImage.cut`. What is lost is told from the bytes: tiles take about the same."""
        stored = -(-self.columns // self._across) * -(-self.rows // self._down)
        lacking = min(self.strip[0] + self.strip[1] - size, self.strip[1])
        if lacking <= 0:
            return 0, stored
        self._intervals.end_of_file = size
        return min(stored, math.ceil(stored * lacking / self.strip[1])), stored

    def read_tile(
        self, reader: ByteReader, column: int, row: int, scratch: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8] | None:
        """See `Backend.read_tile`."""
        stream = self._stream(reader, column, row)
        if stream is None:
            return None
        try:
            return decode_jpeg(stream, scratch)
        except DECODE_ERRORS as error:
            raise TileError(str(error)) from error

    @property
    def reduces(self) -> bool:
        """Whether tiles can be decoded at a reduced size."""
        return True

    def read_tile_reduced(self, reader: ByteReader, column: int, row: int, factor: int) -> NDArray[np.uint8] | None:
        """See `Backend.read_tile_reduced`."""
        stream = self._stream(reader, column, row)
        if stream is None:
            return None
        try:
            return decode_reduced(stream, factor, self.tile_size[::-1])
        except DECODE_ERRORS as error:
            raise TileError(str(error)) from error

    def looks_sound(self, reader: ByteReader) -> bool:
        """See `StoredImage.looks_sound`."""
        try:
            simplejpeg.decode_jpeg_header(self._head.sized(*self.tile_size) + _END)
        except DECODE_ERRORS:
            return False
        return True

    def _stream(self, reader: ByteReader, column: int, row: int) -> bytes | None:
        """A JPEG of one tile: a header of its size, and its intervals with their markers numbered anew.

        None where the file was cut off before.
        """
        try:
            return self._put_together(reader, column, row)
        except TileError:
            bottom, right = min((row + 1) * self._down, self.rows), min((column + 1) * self._across, self.columns)
            cut_off = self._intervals.end_of_file < self._intervals.end
            if cut_off and self._intervals.is_lost((bottom - 1) * self.columns + right - 1):
                return None
            raise

    def _put_together(self, reader: ByteReader, column: int, row: int) -> bytes:
        left, top = column * self._across, row * self._down
        right, bottom = min(left + self._across, self.columns), min(top + self._down, self.rows)
        width, height = self._segment
        size = min(right * width, self.width) - left * width, min(bottom * height, self.height) - top * height
        parts = [self._head.sized(*size)]
        number = 0
        runs = [(top * self.columns, bottom * self.columns)] if right - left == self.columns else []
        for first, last in runs or [(line * self.columns + left, line * self.columns + right) for line in range(top, bottom)]:
            run = self._run(reader, first, last - 1, number)
            parts.append(run)
            number += last - first
        parts[-1] = parts[-1][:-2]
        return b"".join((*parts, _END))

    def _run(self, reader: ByteReader, first: int, last: int, number: int) -> bytes:
        """Intervals that follow each other in the file, each with its marker; the first is number `number` of the tile."""
        starts = self._intervals.span(reader, first, last)
        data = bytearray(read_bytes(reader, starts[0], starts[-1] - starts[0]))
        if starts[-1] == self._intervals.end:
            end = data.rfind(_END)
            data[end if end >= 0 else len(data) :] = b"\xff\xd0"
            starts[-1] = starts[0] + len(data)
        for index, start in enumerate(starts[1:], number):
            at = start - starts[0]
            if data[at - 2] != 0xFF or data[at - 1] & 0xF8 != 0xD0:
                raise TileError("there is no restart marker where the file says")
            data[at - 1] = 0xD0 + index % 8
        return bytes(data)


def _segment(head: JpegHead, size: tuple[int, int]) -> tuple[tuple[int, int], int]:
    """(width, height) of an interval in pixels, and how many lie side by side."""
    blocks = -(-size[0] // head.block[0])
    if not head.interval or not head.baseline:
        return size, 1
    if head.interval <= blocks:
        if blocks % head.interval:
            raise ValueError("the restart markers do not stand at the ends of rows")
        return (head.interval * head.block[0], head.block[1]), blocks // head.interval
    if head.interval % blocks:
        raise ValueError("the restart markers do not stand at the ends of rows")
    return (blocks * head.block[0], min(head.interval // blocks * head.block[1], size[1])), 1
