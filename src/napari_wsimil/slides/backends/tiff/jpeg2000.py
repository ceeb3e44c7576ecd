"""JPEG 2000 as Aperio stores it: compression 33003 holds luma and chroma as they are, chroma often with half the columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHROMA = np.arange(256, dtype=np.int32) - 128
# ITU-T T.871, rounded as OpenSlide rounds it; green in 16 binary digits
_RED = np.round(1.402 * _CHROMA).astype(np.int32)
_BLUE = np.round(1.772 * _CHROMA).astype(np.int32)
_GREEN_OF_CB = np.round(-0.34414 * 65536 * _CHROMA).astype(np.int32)
_GREEN_OF_CR = np.round(-0.71414 * 65536 * _CHROMA).astype(np.int32) + 32768


def rgb_from_ycbcr(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(rows, columns, 3) uint8 RGB of full-range Y, Cb, Cr."""
    luma, blue, red = (pixels[..., channel] for channel in range(3))
    rgb = np.empty(pixels.shape, np.int32)
    np.add(luma, _RED[red], out=rgb[..., 0])
    np.add(luma, (_GREEN_OF_CB[blue] + _GREEN_OF_CR[red]) >> 16, out=rgb[..., 1])
    np.add(luma, _BLUE[blue], out=rgb[..., 2])
    return rgb.clip(0, 255, out=rgb).astype(np.uint8)


def decode_ycbcr(data: bytes, index: int, **_: Any) -> tuple[NDArray[np.uint8], int, None]:
    """Decode a tile of compression 33003; arguments and result as tifffile's decoders have them.

    Raises
    ------
    ValueError
        The stream does not hold three 8-bit components.
    """
    import imagecodecs

    pixels = imagecodecs.jpeg2k_decode(data)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"the JPEG 2000 stream holds {pixels.shape} {pixels.dtype}")
    # OpenJPEG itself turns a picture with fewer columns of chroma into RGB
    return (pixels if _subsampled(data) else rgb_from_ycbcr(pixels))[None], index, None


def _subsampled(data: bytes) -> bool:
    """Whether any component has fewer rows or columns than the picture (ISO 15444-1, A.5.1)."""
    at = data.find(b"\xff\x4f\xff\x51")
    size = data[at + 4 : at + 4 + int.from_bytes(data[at + 4 : at + 6], "big")]
    return any(step != 1 for part in range(38, len(size) - 2, 3) for step in size[part + 1 : part + 3])
