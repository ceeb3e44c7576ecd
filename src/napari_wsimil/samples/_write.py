"""Write a generated slide as a pyramidal tiled TIFF: JPEG tiles of 256 px, levels in steps of two."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

import numpy as np
import simplejpeg
import tifffile

from napari_wsimil.samples._layout import MPP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_wsimil.samples._paint import Painter

TILE = 256
BLOCK = 1024  # painted at once: 4 x 4 tiles of level 0, 2 x 2 of level 1, one of level 2
QUALITY = 82


def write_slide(painter: Painter, path: Path, description: str, progress: Callable[[int, int], None] | None = None) -> None:
    """Paint every block and write the pyramid to `path`; `progress` hears (blocks done, blocks in all)."""
    size = painter.layout.size
    blocks = [(row, column) for row in range(size // BLOCK) for column in range(size // BLOCK)]
    tiles: dict[tuple[int, int, int], bytes] = {}
    coarse = np.empty((size // 8, size // 8, 3), np.uint8)

    def work(block: tuple[int, int]) -> None:
        row, column = block
        pixels = painter.paint(column * BLOCK, row * BLOCK, BLOCK, BLOCK)
        for level in range(3):
            _encode_tiles(pixels, level, row * (4 >> level), column * (4 >> level), tiles)
            pixels = _halve(pixels)
        part = BLOCK // 8
        coarse[row * part : (row + 1) * part, column * part : (column + 1) * part] = pixels

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for done, _ in enumerate(pool.map(work, blocks), start=1):
            if progress is not None:
                progress(done, len(blocks))
    levels = [size, size // 2, size // 4]
    level, pixels = 3, coarse
    while True:
        padded = np.pad(pixels, ((0, -pixels.shape[0] % TILE), (0, -pixels.shape[1] % TILE), (0, 0)), mode="edge")
        _encode_tiles(padded, level, 0, 0, tiles)
        levels.append(pixels.shape[0])
        if pixels.shape[0] <= 1024:
            break
        level, pixels = level + 1, _halve(pixels)
    _write_levels(path, levels, tiles, description)


def _encode_tiles(
    pixels: NDArray[np.uint8], level: int, row: int, column: int, tiles: dict[tuple[int, int, int], bytes]
) -> None:
    for r in range(pixels.shape[0] // TILE):
        for c in range(pixels.shape[1] // TILE):
            tile = np.ascontiguousarray(pixels[r * TILE : (r + 1) * TILE, c * TILE : (c + 1) * TILE])
            tiles[level, row + r, column + c] = simplejpeg.encode_jpeg(tile, QUALITY, "RGB", "420", fastdct=False)


def _halve(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mean of 2 x 2 pixels, rounded."""
    wide = pixels.astype(np.uint16)
    rows = wide[0::2] + wide[1::2]
    return ((rows[:, 0::2] + rows[:, 1::2] + 2) >> 2).astype(np.uint8)


def _write_levels(path: Path, levels: list[int], tiles: dict[tuple[int, int, int], bytes], description: str) -> None:
    with tifffile.TiffWriter(path, bigtiff=False) as writer:
        for level, side in enumerate(levels):
            count = -(-side // TILE)

            def encoded(level: int = level, count: int = count) -> Iterator[bytes]:
                for row in range(count):
                    for column in range(count):
                        yield tiles[level, row, column]

            writer.write(
                cast("NDArray[np.uint8]", encoded()),
                shape=(side, side, 3),
                dtype=np.uint8,
                photometric="ycbcr",
                subsampling=(2, 2),
                compression="jpeg",
                tile=(TILE, TILE),
                subfiletype=1 if level else 0,
                resolution=(1e4 / (MPP * 2**level),) * 2,
                resolutionunit="CENTIMETER",
                description=description if level == 0 else None,
                software="napari-wsimil",
                metadata=None,
            )
