"""One JPEG of any size read piece by piece, from restart marker to restart marker.

A restart marker resets the decoder, so the bytes between two of them (an interval) are a picture of their own once a header of
its size stands in front. Intervals that lie below and beside each other are decoded together as one tile.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import simplejpeg

from napari_wsimil.slides.backends.base import DECODE_ERRORS, TileError
from napari_wsimil.slides.backends.tiff.planes import decode_jpeg, decode_reduced, read_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.slides.backends.byte_reader import ByteReader

LARGEST_JPEG = 65500
"""Pixels in either side of a JPEG that libjpeg takes."""
_TILE = 512
"""Sides of a tile are about so many pixels; an interval alone is often 8 rows of thousands of pixels."""
_TILE_PIXELS = 1 << 22
_SCAN_BYTES = 1 << 23
_END = b"\xff\xd9"


@dataclass(frozen=True)
class JpegHead:
    """What the header of a JPEG says.

    Parameters
    ----------
    data
        From the start of the image to the end of the start-of-scan segment.
    sof
        Position of the start-of-frame marker in `data`.
    width, height
        As stated, which is wrong (often 0) where the image is larger than a JPEG can say.
    interval
        Blocks (MCUs) between two restart markers; 0 = there are none.
    block
        (width, height) of a block in pixels.
    baseline
        Whether it is sequential Huffman coding, of which an interval can be decoded alone.
    """

    data: bytes
    sof: int
    width: int
    height: int
    interval: int
    block: tuple[int, int]
    baseline: bool

    def sized(self, width: int, height: int) -> bytes:
        """The same header for a picture of another size."""
        at = self.sof + 5
        size = height.to_bytes(2, "big") + width.to_bytes(2, "big")
        return self.data[:at] + size + self.data[at + 4 :]


def read_jpeg_head(data: bytes) -> JpegHead:
    """Parse the header at the start of `data` (ITU-T T.81, annex B).

    Raises
    ------
    ValueError
        It is no JPEG of three 8-bit components in one scan.
    """
    if data[:2] != b"\xff\xd8":
        raise ValueError("no JPEG")
    sof, interval, at = -1, 0, 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise ValueError("no marker where one should be")
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDD:
            interval = int.from_bytes(data[at + 4 : at + 6], "big")
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            sof = at
        at += 2 + length
        if marker == 0xDA:
            break
    else:
        raise ValueError("the header has no end")
    if sof < 0 or at > len(data):
        raise ValueError("the header is incomplete")
    return _head(data[:at], sof, interval)


def _head(data: bytes, sof: int, interval: int) -> JpegHead:
    precision, components = data[sof + 4], data[sof + 9]
    if precision != 8 or components != 3:
        raise ValueError(f"{components} components of {precision} bits")
    sampling = data[sof + 11 : sof + 11 + 9 : 3]
    return JpegHead(
        data=data,
        sof=sof,
        height=int.from_bytes(data[sof + 5 : sof + 7], "big"),
        width=int.from_bytes(data[sof + 7 : sof + 9], "big"),
        interval=interval,
        block=(8 * max(factor >> 4 for factor in sampling), 8 * max(factor & 15 for factor in sampling)),
        baseline=data[sof + 1] in (0xC0, 0xC1),
    )


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
    """

    def __init__(self, first: int, end: int, number: int, recorded: NDArray[np.int64] | None) -> None:
        self.end = end
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

    def _scan_on(self, reader: ByteReader) -> None:
        """Look for markers in the next few megabytes."""
        count = min(_SCAN_BYTES, self.end - self._scanned)
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
        self.segments = [strip[0]], [strip[1]]
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

    def read_tile(
        self, reader: ByteReader, column: int, row: int, scratch: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8] | None:
        """See `Backend.read_tile`."""
        stream = self._stream(reader, column, row)
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
        try:
            return decode_reduced(stream, factor, self.tile_size[::-1])
        except DECODE_ERRORS as error:
            raise TileError(str(error)) from error

    def looks_sound(self, reader: ByteReader) -> bool:
        """See `StoredImage.looks_sound`."""
        try:
            simplejpeg.decode_jpeg_header(self._head.sized(*self.tile_size) + _END)
        except ValueError:
            return False
        return True

    def _stream(self, reader: ByteReader, column: int, row: int) -> bytes:
        """A JPEG of one tile: a header of its size, and its intervals with their markers numbered anew."""
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
