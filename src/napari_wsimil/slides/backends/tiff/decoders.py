"""Decoders of single tiles and strips that take no more memory than these should have.

Codecs reserve memory by the size that a stream states, which in a damaged file is any number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import simplejpeg

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Decode = Callable[..., Any]

JPEG = 7
JPEG_2000 = (33003, 33004, 33005, 34712)
"""TIFF compressions; bfconvert writes 33003 for plain RGB."""
_INTO: dict[int, Callable[..., NDArray[np.uint8]]] = {
    **dict.fromkeys((34927, 50001), imagecodecs.webp_decode),
    34933: imagecodecs.png_decode,
    **dict.fromkeys((50002, 52546), imagecodecs.jpegxl_decode),
}
"""Compressions that are pictures by themselves, and what decodes them into memory of the right shape or refuses."""
_PLAIN = (1, 5, 8, 32773, 32946, 34925, 34926, 50000)
"""None, LZW, Deflate, PackBits, LZMA and Zstandard, of which tifffile wants no more bytes than there should be."""
READABLE = frozenset((JPEG, *JPEG_2000, *_INTO, *_PLAIN))
"""Compressions of TIFF that are read. The others that tifffile knows are those of photographs, faxes and microscopes."""


def decoder(frame: Any) -> Decode:
    """Decodes a tile or strip of a tifffile page: (data, index, jpegtables=...) -> ((1, rows, columns, samples), ...)."""
    compression = int(frame.compression)
    if compression not in READABLE:
        raise ValueError(f"TIFF compression {compression} is not read")
    if max(frame.imagedepth, frame.tiledepth) > 1:
        raise ValueError("an image in several planes of depth is not read")
    rows, columns = piece_size(frame)
    if compression in JPEG_2000:
        return limited(frame.decode, 4 * rows * columns, jpeg_2000_size)
    if compression == JPEG:
        return limited(frame.decode, 4 * rows * columns, _jpeg_size)
    if compression in _INTO:
        return _decoded_into(_INTO[compression], frame)
    decode: Decode = frame.decode
    return decode


def piece_size(frame: Any) -> tuple[int, int]:
    """Rows and columns of a tile, or of any strip but the last."""
    if frame.is_tiled:
        return int(frame.tilelength), int(frame.tilewidth)
    return int(min(frame.rowsperstrip, frame.imagelength)), int(frame.imagewidth)


def limited(decode: Decode, most: int, stated_size: Callable[[bytes], tuple[int, int]]) -> Decode:
    """The decoder, which raises ValueError for streams that state more than `most` pixels."""

    def decode_within(data: bytes | None, index: int, **options: Any) -> Any:
        # None stands for a piece that was not written
        width, height = (0, 0) if data is None else stated_size(data)
        if width * height > most:
            raise ValueError(f"it claims {width} x {height} pixels")
        return decode(data, index, **options)

    return decode_within


def _decoded_into(codec: Callable[..., NDArray[np.uint8]], frame: Any) -> Decode:
    rows, columns = piece_size(frame)
    together = int(frame.planarconfig) == 1
    samples = int(frame.samplesperpixel) if together else 1
    frame_decode = frame.decode
    strips = -(-int(frame.imagelength) // rows)

    def decode_into(data: bytes | None, index: int, **options: Any) -> Any:
        if data is None:
            return frame_decode(data, index, **options)
        height = rows if frame.is_tiled else min(rows, int(frame.imagelength) - index % strips * rows)
        out = np.empty((height, columns, samples) if samples > 1 else (height, columns), np.uint8)
        return codec(data, out=out).reshape(1, height, columns, samples), index, None

    return decode_into


def _jpeg_size(data: bytes) -> tuple[int, int]:
    height, width = simplejpeg.decode_jpeg_header(data, strict=False)[:2]
    return int(width), int(height)


def jpeg_2000_size(data: bytes) -> tuple[int, int]:
    """(width, height) that a JPEG 2000 stream states; (0, 0) where it is none, which no decoder takes (ISO 15444-1, A.5.1)."""
    at = data.find(b"\xff\x4f\xff\x51", 0, 1024)
    if at < 0 or len(data) < at + 24:
        return 0, 0
    right, bottom, left, top = (int.from_bytes(data[at + p : at + p + 4], "big") for p in (8, 12, 16, 20))
    return right - left, bottom - top
