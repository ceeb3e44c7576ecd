"""From the pixels of a stored level to the magnification asked for: the area mean, never every n-th pixel."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

    Window = tuple[float, float, float, float]

INTER_AREA = 3
"""OpenCV's name for the mean over the pixels that fall into one."""


def resample(
    pixels: NDArray[np.uint8], window: Window, size: tuple[int, int], out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Resample the part `window` (x0, y0, x1, y1; fractions allowed) of `pixels` (h, w, 3).

    Shrinking takes the exact area mean, enlarging is bicubic. All of it works outside the interpreter's lock.

    Returns
    -------
    (size[1], size[0], 3) uint8, in `out` where it is given.
    """
    if out is None:
        out = np.empty((size[1], size[0], 3), np.uint8)
    fx, fy = (window[2] - window[0]) / size[0], (window[3] - window[1]) / size[1]
    if _whole(fx, fy, *window):
        left, top, right, bottom = (round(edge) for edge in window)
        block_mean(pixels[top:bottom, left:right], round(fx), round(fy), out)
    elif min(fx, fy) < 1:
        from PIL import Image

        out[...] = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC, box=window))
    else:
        down = _weights(window[1], fy, size[1], pixels.shape[0])
        out[...] = _area_mean(pixels, down, _weights(window[0], fx, size[0], pixels.shape[1]))
    return out


def block_mean(pixels: NDArray[np.uint8], fx: int, fy: int, out: NDArray[np.uint8]) -> None:
    """Mean over blocks of fx x fy pixels, rounded to nearest, written to `out` (height / fy, width / fx, 3)."""
    if fx == fy == 1:
        out[...] = pixels
        return
    size = out.shape[1], out.shape[0]
    if out.strides[1:] == (3, 1) and out.strides[0] > 0:
        opencv().resize(pixels, size, dst=out, interpolation=INTER_AREA)
    else:
        out[...] = opencv().resize(pixels, size, interpolation=INTER_AREA)


@cache
def opencv() -> Any:
    """The library, told not to start threads of its own beside ours."""
    import cv2

    cv2.setNumThreads(0)
    return cv2


def _area_mean(pixels: NDArray[np.uint8], down: sparse.csr_matrix, across: sparse.csr_matrix) -> NDArray[np.uint8]:
    """Mean over parts of pixels. Pillow's box filter takes a pixel whole or not at all, 34 dB from this, and is no faster."""
    height, width, _ = pixels.shape
    rows, columns = down.shape[0], across.shape[0]
    shrunk = (down @ pixels.reshape(height, width * 3).astype(np.float32)).reshape(rows, width, 3)
    # OpenCV turns an array in a seventh of NumPy's time, which was most of the whole
    turned = across @ opencv().transpose(shrunk).reshape(width, rows * 3)
    turned += 0.5
    mean: NDArray[np.uint8] = opencv().transpose(turned.reshape(columns, rows, 3).astype(np.uint8))
    return mean


def _weights(start: float, factor: float, count: int, length: int) -> sparse.csr_matrix:
    """(count, length) weights: row i is how much of each pixel lies in start + i * factor to start + (i + 1) * factor."""
    from scipy import sparse

    low = start + factor * np.arange(count)[:, None]
    taps = int(np.ceil(factor)) + 1
    pixel = np.floor(low).astype(np.int32) + np.arange(taps, dtype=np.int32)
    share = np.minimum(low + factor, pixel + 1) - np.maximum(low, pixel)
    weights = np.clip(share / factor, 0, None).astype(np.float32)
    columns = np.clip(pixel, 0, length - 1)
    ends = np.arange(0, count * taps + 1, taps, dtype=np.int32)
    return sparse.csr_matrix((weights.ravel(), columns.ravel(), ends), shape=(count, length))


def _whole(*values: float) -> bool:
    return all(abs(value - round(value)) < 1e-6 for value in values)
