"""From the pixels of a stored level to the magnification asked for: the area mean, never every n-th pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Window = tuple[float, float, float, float]

_MOST_IN_UINT16 = 256
"""Pixels whose sum, and half of their count, is sure to fit."""


def resample(pixels: NDArray[np.uint8], window: Window, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resample the part `window` (x0, y0, x1, y1; fractions allowed) of `pixels` (h, w, 3).

    Shrinking takes the exact area mean, enlarging is bicubic. All of it works outside the interpreter's lock.

    Returns
    -------
    (size[1], size[0], 3) uint8.
    """
    fx, fy = (window[2] - window[0]) / size[0], (window[3] - window[1]) / size[1]
    if _whole(fx, fy, *window):
        left, top, right, bottom = (round(edge) for edge in window)
        return _block_mean(pixels[top:bottom, left:right], round(fx), round(fy))
    if min(fx, fy) < 1:
        return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC, box=window))
    return _area_mean(
        pixels, _weights(window[1], fy, size[1], pixels.shape[0]), _weights(window[0], fx, size[0], pixels.shape[1])
    )


def _block_mean(pixels: NDArray[np.uint8], fx: int, fy: int) -> NDArray[np.uint8]:
    """Mean over blocks of fx x fy pixels, rounded to nearest; twice as fast as Pillow's reduce."""
    if fx * fy > _MOST_IN_UINT16:
        return np.asarray(Image.fromarray(pixels).reduce((fx, fy)))
    height, width = pixels.shape[0] // fy, pixels.shape[1] // fx
    rows = pixels[::fy].astype(np.uint16)
    for step in range(1, fy):
        rows += pixels[step::fy]
    rows = rows.reshape(height, width, fx * 3)
    total = np.empty((height, width, 3), np.uint16)
    for channel in range(3):
        # one channel at a time: loops over three values cost more than the sums
        of_block = total[..., channel]
        of_block[...] = rows[..., channel]
        for step in range(1, fx):
            of_block += rows[..., step * 3 + channel]
    total += fx * fy // 2
    total //= fx * fy
    return total.astype(np.uint8)


def _area_mean(pixels: NDArray[np.uint8], down: sparse.csr_matrix, across: sparse.csr_matrix) -> NDArray[np.uint8]:
    """Mean over parts of pixels. Pillow's box filter takes a pixel whole or not at all, 34 dB from this, and is no faster."""
    height, width, _ = pixels.shape
    rows, columns = down.shape[0], across.shape[0]
    shrunk = (down @ pixels.reshape(height, width * 3).astype(np.float32)).reshape(rows, width, 3)
    turned = across @ np.ascontiguousarray(shrunk.transpose(1, 0, 2)).reshape(width, rows * 3)
    turned += 0.5
    mean: NDArray[np.uint8] = turned.reshape(columns, rows, 3).transpose(1, 0, 2).astype(np.uint8)
    return mean


def _weights(start: float, factor: float, count: int, length: int) -> sparse.csr_matrix:
    """(count, length) weights: row i is how much of each pixel lies in start + i * factor to start + (i + 1) * factor."""
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
