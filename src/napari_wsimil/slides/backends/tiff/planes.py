"""Decoding the tiles of one TIFF image: simplejpeg where it can, imagecodecs through tifffile for the rest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import simplejpeg

from napari_wsimil.slides.backends.base import DECODE_ERRORS, TileError
from napari_wsimil.slides.backends.tiff.decoders import JPEG, decoder, piece_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_wsimil.slides.backends.byte_reader import ByteReader

# "Adobe" application segment with transform 0: says that the three components are R, G, B.
_APP14_RGB = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
_HARMLESS = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_MOST_BYTES = 1 << 16
"""Of one segment, besides four times what its pixels need: more is a damaged count."""
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
    samples
        Channels of a decoded segment: 1 for one colour of three that are stored apart.
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
    samples: int = 3

    @property
    def tile_size(self) -> tuple[int, int]:
        """(width, height) of what is decoded as one."""
        return self.segment_width, self.segment_rows * self.group

    def cut(self, size: int) -> tuple[int, int]:
        """See `StoredImage.cut`."""
        stored = sum(1 for count in self.counts if count)
        lost = self.beyond(size)
        for index in lost:
            self.counts[index] = 0
        return len(lost), stored

    def beyond(self, size: int) -> set[int]:
        """Segments that end beyond so many bytes."""
        ends = zip(self.offsets, self.counts, strict=True)
        return {index for index, (offset, count) in enumerate(ends) if count and offset + count > size}

    def read_tile(
        self, reader: ByteReader, column: int, row: int, scratch: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8] | None:
        """See `Backend.read_tile`."""
        if self.group == 1:
            pixels = _read_segment(self, reader, row * self.columns + column, scratch)
        else:
            first = row * self.group
            last = min(first + self.group, len(self.offsets))
            parts = [_read_segment(self, reader, index, None) for index in range(first, last)]
            blank = np.full((self.segment_rows, self.segment_width, self.samples), 255, np.uint8)
            pixels = np.concatenate([blank if part is None else part for part in parts])
        return pixels if pixels is None else self._complete(pixels, column, row)

    def _complete(self, pixels: NDArray[np.uint8], column: int, row: int, factor: int = 1) -> NDArray[np.uint8]:
        """The pixels, which must cover what of the tile lies inside the level."""
        width, height = self.tile_size
        if factor == 1 and pixels.shape[0] >= height and pixels.shape[1] >= width:
            return pixels
        inside = min(height, self.height - row * height), min(width, self.width - column * width)
        needed = -(-inside[0] // factor), -(-inside[1] // factor)
        if pixels.shape[0] < needed[0] or pixels.shape[1] < needed[1]:
            raise TileError(f"it holds {pixels.shape[1]} x {pixels.shape[0]} pixels instead of {needed[1]} x {needed[0]}")
        return pixels

    @property
    def reduces(self) -> bool:
        """Whether tiles can be decoded at a reduced size."""
        return self.jpeg and self.group == 1

    def read_tile_reduced(self, reader: ByteReader, column: int, row: int, factor: int) -> NDArray[np.uint8] | None:
        """See `Backend.read_tile_reduced`."""
        index = row * self.columns + column
        if not self.counts[index]:
            return None
        try:
            stream = jpeg_stream(_segment_bytes(self, reader, index), self.tables, self.rgb)
            pixels = decode_reduced(stream, factor, (self.segment_rows, self.segment_width))
        except DECODE_ERRORS as error:
            raise TileError(str(error)) from error
        return self._complete(pixels, column, row, factor)

    def looks_sound(self, reader: ByteReader) -> bool:
        """See `StoredImage.looks_sound`. Only a plane without one sound tile is hopeless."""
        filled = [index for index, count in enumerate(self.counts) if count]
        if not self.jpeg or not filled:
            return True
        for index in {filled[0], filled[len(filled) // 2], filled[-1]}:
            data = reader.read(self.offsets[index], self.counts[index])
            try:
                simplejpeg.decode_jpeg_header(jpeg_stream(data, self.tables, self.rgb))
            except DECODE_ERRORS:
                continue
            return True
        return False


def make_plane(page: Any) -> Plane:
    """The plane of a tifffile page (8-bit RGB(A), interleaved)."""
    frame = page.keyframe
    tiled, together = bool(frame.is_tiled), int(frame.planarconfig) == 1
    rows, width = piece_size(frame)
    listed = min(len(page.dataoffsets), len(page.databytecounts))
    plane = Plane(
        width=frame.imagewidth,
        height=frame.imagelength,
        offsets=[int(offset) for offset in page.dataoffsets[:listed]],
        counts=[int(count) for count in page.databytecounts[:listed]],
        segment_width=width,
        segment_rows=rows,
        group=1 if tiled else max(1, min(_BAND // rows, -(-frame.imagelength // rows))),
        columns=-(-frame.imagewidth // frame.tilewidth) if tiled else 1,
        decode=decoder(frame),
        tables=frame.jpegtables if isinstance(frame.jpegtables, bytes) else None,
        jpeg=together and int(frame.compression) == JPEG and frame.samplesperpixel == 3 and int(frame.photometric) in (2, 6),
        rgb=int(frame.photometric) == 2,
        associated_alpha=bool(frame.extrasamples) and int(frame.extrasamples[0]) == 1,
    )
    if min(plane.counts, default=0) < 0:
        raise ValueError("tiles of less than no bytes")
    if together and not tiled and int(frame.compression) == 1:
        cut_raw(plane, frame.samplesperpixel)
    return plane


def cut_raw(plane: Plane, samples: int) -> None:
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


def _read_segment(plane: Plane, reader: ByteReader, index: int, scratch: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
    if not plane.counts[index]:
        return None
    data = _segment_bytes(plane, reader, index)
    try:
        if plane.jpeg:
            # with room for the stated size only, a tile that claims another one can't take gigabytes
            into = np.empty((plane.segment_rows, plane.segment_width, 3), np.uint8) if scratch is None else scratch
            return decode_jpeg(jpeg_stream(data, plane.tables, plane.rgb), into)
        # tifffile gives (depth, rows, columns, samples), cut to the image
        decoded = plane.decode(data, index, jpegtables=plane.tables)[0]
    except DECODE_ERRORS as error:
        raise TileError(str(error)) from error
    return None if decoded is None else over_white(decoded[0], plane.associated_alpha)


def _segment_bytes(plane: Plane, reader: ByteReader, index: int) -> bytes:
    count = plane.counts[index]
    if not 0 <= count <= _MOST_BYTES + 12 * plane.segment_rows * plane.segment_width:
        raise TileError(f"it claims {count} bytes")
    return read_bytes(reader, plane.offsets[index], count)


def read_bytes(reader: ByteReader, offset: int, count: int) -> bytes:
    """`count` bytes from `offset`; `TileError` where the file has them no more, or never had."""
    try:
        data = reader.read(offset, count)
    except OSError as error:
        raise TileError(f"the file can't be read there ({error.strerror})") from error
    if len(data) < count:
        raise TileError("the file ends before it")
    return data


def jpeg_stream(data: bytes, tables: bytes | None, rgb: bool) -> bytes:
    """A whole JPEG stream from a tile, the tables it shares with others and the colours that the TIFF states.

    A decoder guesses YCbCr where neither a JFIF nor an Adobe segment speaks; Aperio's RGB tiles would turn green and pink.
    """
    head = b"" if tables is None else tables[2:-2]
    if rgb and data[6:10] != b"JFIF" and b"Adobe" not in data[:256]:
        head += _APP14_RGB
    return b"".join((data[:2], head, data[2:])) if head else data


def decode_jpeg(stream: bytes, scratch: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """(h, w, 3) uint8 RGB, in `scratch` where it is given and large enough; ValueError for a damaged stream."""
    pixels = _decode_strictly(stream, buffer=scratch)
    # the same memory, but the array itself tells a caller at once that there is nothing to copy
    return scratch if scratch is not None and pixels.shape == scratch.shape else pixels


def _decode_strictly(stream: bytes, **options: Any) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8]
    try:
        pixels = simplejpeg.decode_jpeg(stream, "RGB", **options)
    except ValueError as error:
        # a few stray bytes before the end change no pixel; anything else makes grey or torn tiles
        stray = _HARMLESS.search(str(error))
        if stray is None or int(stray[1]) > 64:
            raise
        pixels = simplejpeg.decode_jpeg(stream, "RGB", strict=False, **options)
    return pixels


def decode_reduced(stream: bytes, factor: int, largest: tuple[int, int]) -> NDArray[np.uint8]:
    """(ceil(h / factor), ceil(w / factor), 3) uint8 of a stream of h x w pixels, which may be no more than `largest`."""
    height, width = simplejpeg.decode_jpeg_header(stream)[:2]
    if height > largest[0] or width > largest[1]:
        raise ValueError(f"a tile of {width} x {height} pixels in a place for {largest[1]} x {largest[0]}")
    size = {"min_height": -(-height // factor), "min_width": -(-width // factor), "min_factor": factor}
    return _decode_strictly(stream, **size)


def over_white(pixels: NDArray[np.uint8], associated: bool) -> NDArray[np.uint8]:
    """RGB from RGB(A) where transparent is white; `associated` says that the colours were multiplied by alpha already."""
    if pixels.shape[-1] in (1, 3):
        return pixels
    colour, alpha = pixels[..., :3].astype(np.uint16), pixels[..., 3:4].astype(np.uint16)
    if not associated:
        colour = (colour * alpha + 127) // 255
    return np.minimum(colour + 255 - alpha, 255).astype(np.uint8)
