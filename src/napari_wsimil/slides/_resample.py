"""From the pixels of a stored level to the magnification asked for: the area mean, never every n-th pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_wsimil.slides._scratch import scratch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

    Window = tuple[float, float, float, float]

_MOST_IN_UINT16 = 256
"""Pixels whose sum, and half of their count, is sure to fit."""
_IN_PROCESSOR = 1 << 17
"""Sums held at once: those of a tile of 256 px fit, and stay in the cache of the processor."""


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
    height, width = out.shape[:2]
    if fx == fy == 1:
        out[...] = pixels
        return
    if fx * fy > _MOST_IN_UINT16:
        from PIL import Image

        out[...] = np.asarray(Image.fromarray(pixels).reduce((fx, fy)))
        return
    step = max(1, _IN_PROCESSOR // (width * fx * 3))
    for top in range(0, height, step):
        _mean_of_rows(pixels[top * fy : (top + step) * fy], fx, fy, out[top : top + step])


def _mean_of_rows(pixels: NDArray[np.uint8], fx: int, fy: int, out: NDArray[np.uint8]) -> None:
    height, width = out.shape[:2]
    rows = scratch("rows", (height, width * fx * 3), np.uint16)
    _add_rows(pixels.reshape(height * fy, width * fx * 3), fy, rows)
    sums = _add_neighbours(rows.reshape(rows.size), fx)
    count = fx * fy
    np.add(sums, count // 2, out=sums)
    if count & (count - 1):
        np.floor_divide(sums, count, out=sums)
    else:
        np.right_shift(sums, count.bit_length() - 1, out=sums)
    blocks = sums.reshape(height, width, fx * 3)
    # one channel at a time: loops over three values cost more than all of the above
    for channel in range(3):
        out[..., channel] = blocks[..., channel]


def _add_rows(rows: NDArray[np.uint8], fy: int, sums: NDArray[np.uint16]) -> None:
    """Sums of `fy` rows each."""
    if fy == 1:
        sums[...] = rows
        return
    np.add(rows[::fy], rows[1::fy], out=sums, dtype=np.uint16)
    for step in range(2, fy):
        np.add(sums, rows[step::fy], out=sums)


def _add_neighbours(values: NDArray[np.uint16], fx: int) -> NDArray[np.uint16]:
    """At the start of each block of `fx` RGB pixels, their sum; anything in between.

    Adding a whole array to itself, moved by some pixels, does twice the work of a strided sum in a quarter of the time.
    """
    sums, reach = values, 1
    while reach * 2 <= fx:
        step = reach * 3
        other = scratch(f"sums {reach}", values.shape, np.uint16)
        np.add(sums[:-step], sums[step:], out=other[:-step])
        sums, reach = other, reach * 2
    if reach == fx:
        return sums
    if sums is values:
        sums = values.copy()
    for pixel in range(reach, fx):
        np.add(sums[: -pixel * 3], values[pixel * 3 :], out=sums[: -pixel * 3])
    return sums


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
