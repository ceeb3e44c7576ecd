"""Decoding the tiles of one TIFF image: simplejpeg where it can, imagecodecs through tifffile for the rest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import simplejpeg

from napari_wsimil.slides.backends.base import DECODE_ERRORS, TileError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_wsimil.slides.backends.byte_reader import ByteReader

# "Adobe" application segment with transform 0: says that the three components are R, G, B.
_APP14_RGB = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
_HARMLESS = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_BAND = 256
"""Strips are grouped to about so many rows; a strip of 1 to 16 rows would cost more in calls than in pixels."""


@dataclass
class Plane:
    """Where the tiles (or strips) of one image lie and how they are decoded.

    Parameters
    ----------
    offsets, counts
        Position and length in bytes of each segment, row-major; length 0 = nothing scanned.
    segment_rows
        Rows of one segment.
    group
        Segments that make one tile, one below the other: 1 for tiled images.
    columns
        Segments side by side.
    decode
        tifffile's decoder of this image.
    jpeg
        True where simplejpeg may decode: 8-bit RGB or YCbCr JPEG.
    rgb
        The JPEG holds R, G, B although it may not say so.
    """

    width: int
    height: int
    offsets: list[int]
    counts: list[int]
    segment_width: int
    segment_rows: int
    group: int
    columns: int
    decode: Callable[..., Any]
    tables: bytes | None
    jpeg: bool
    rgb: bool
    associated_alpha: bool

    @property
    def tile_size(self) -> tuple[int, int]:
        """(width, height) of what is decoded as one."""
        return self.segment_width, self.segment_rows * self.group

    @property
    def segments(self) -> tuple[list[int], list[int]]:
        """See `StoredImage.segments`."""
        return self.offsets, self.counts

    def read_tile(
        self, reader: ByteReader, column: int, row: int, scratch: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8] | None:
        """See `Backend.read_tile`."""
        if self.group == 1:
            return _read_segment(self, reader, row * self.columns + column, scratch)
        first = row * self.group
        last = min(first + self.group, len(self.offsets))
        parts = [_read_segment(self, reader, index, None) for index in range(first, last)]
        return np.concatenate([_blank(self.segment_rows, self.segment_width) if part is None else part for part in parts])

    def looks_sound(self, reader: ByteReader) -> bool:
        """See `StoredImage.looks_sound`. Only a plane without one sound tile is hopeless."""
        filled = [index for index, count in enumerate(self.counts) if count]
        if not self.jpeg or not filled:
            return True
        for index in {filled[0], filled[len(filled) // 2], filled[-1]}:
            data = reader.read(self.offsets[index], self.counts[index])
            try:
                simplejpeg.decode_jpeg_header(jpeg_stream(data, self.tables, self.rgb))
            except ValueError:
                continue
            return True
        return False


def make_plane(page: Any) -> Plane:
    """The plane of a tifffile page (8-bit RGB(A), interleaved)."""
    frame = page.keyframe
    tiled = bool(frame.is_tiled)
    rows = frame.tilelength if tiled else min(frame.rowsperstrip, frame.imagelength)
    plane = Plane(
        width=frame.imagewidth,
        height=frame.imagelength,
        offsets=[int(offset) for offset in page.dataoffsets],
        counts=[int(count) for count in page.databytecounts],
        segment_width=frame.tilewidth if tiled else frame.imagewidth,
        segment_rows=rows,
        group=1 if tiled else max(1, min(_BAND // rows, -(-frame.imagelength // rows))),
        columns=-(-frame.imagewidth // frame.tilewidth) if tiled else 1,
        decode=frame.decode,
        tables=frame.jpegtables,
        jpeg=int(frame.compression) == 7 and frame.samplesperpixel == 3 and int(frame.photometric) in (2, 6),
        rgb=int(frame.photometric) == 2,
        associated_alpha=bool(frame.extrasamples) and int(frame.extrasamples[0]) == 1,
    )
    if not tiled and int(frame.compression) == 1:
        _cut_raw(plane, frame.samplesperpixel)
    return plane


def _cut_raw(plane: Plane, samples: int) -> None:
    """Cut uncompressed strips that follow each other into bands, so that one huge strip is not read as one tile."""
    ends = [offset + count for offset, count in zip(plane.offsets, plane.counts, strict=True)]
    if any(end != start for end, start in zip(ends[:-1], plane.offsets[1:], strict=True)):
        return
    row = plane.width * samples
    tops = range(0, plane.height, _BAND)
    start = plane.offsets[0]

    def decode(data: bytes, index: int, **_: Any) -> tuple[NDArray[np.uint8], None, None]:
        return np.frombuffer(data, np.uint8).reshape(1, -1, plane.width, samples), None, None

    plane.offsets = [start + top * row for top in tops]
    plane.counts = [min(_BAND, plane.height - top) * row for top in tops]
    plane.segment_rows, plane.group, plane.decode = _BAND, 1, decode


def _blank(rows: int, width: int) -> NDArray[np.uint8]:
    return np.full((rows, width, 3), 255, np.uint8)


def _read_segment(plane: Plane, reader: ByteReader, index: int, scratch: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
    count = plane.counts[index]
    if not count:
        return None
    data = reader.read(plane.offsets[index], count)
    if len(data) < count:
        raise TileError("the file ends before it")
    try:
        if plane.jpeg:
            return _decode_jpeg(jpeg_stream(data, plane.tables, plane.rgb), scratch)
        # tifffile gives (depth, rows, columns, samples), cut to the image
        decoded = plane.decode(data, index, jpegtables=plane.tables)[0]
    except DECODE_ERRORS as error:
        raise TileError(str(error)) from error
    return None if decoded is None else _on_white(decoded[0], plane.associated_alpha)


def jpeg_stream(data: bytes, tables: bytes | None, rgb: bool) -> bytes:
    """A whole JPEG stream from a tile, the tables it shares with others and the colours that the TIFF states.

    A decoder guesses YCbCr where neither a JFIF nor an Adobe segment speaks; Aperio's RGB tiles would turn green and pink.
    """
    head = b"" if tables is None else tables[2:-2]
    if rgb and data[6:10] != b"JFIF" and b"Adobe" not in data[:256]:
        head += _APP14_RGB
    return b"".join((data[:2], head, data[2:])) if head else data


def _decode_jpeg(stream: bytes, scratch: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8]
    try:
        pixels = simplejpeg.decode_jpeg(stream, "RGB", buffer=scratch)
    except ValueError as error:
        # a few stray bytes before the end change no pixel; anything else makes grey or torn tiles
        stray = _HARMLESS.search(str(error))
        if stray is None or int(stray[1]) > 64:
            raise
        pixels = simplejpeg.decode_jpeg(stream, "RGB", buffer=scratch, strict=False)
    return pixels


def _on_white(pixels: NDArray[np.uint8], associated: bool) -> NDArray[np.uint8]:
    """RGB from RGB(A); what is transparent becomes white."""
    if pixels.shape[-1] == 3:
        return pixels
    colour, alpha = pixels[..., :3].astype(np.uint16), pixels[..., 3:4].astype(np.uint16)
    if not associated:
        colour = (colour * alpha + 127) // 255
    return np.minimum(colour + 255 - alpha, 255).astype(np.uint8)
