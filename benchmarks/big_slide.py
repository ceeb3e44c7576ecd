"""Make the slide that the I/O benchmarks read: an Aperio SVS of 65,536 x 65,536 px at 0.25 µm per pixel.

    python benchmarks/big_slide.py [--out FILE]

Its tissue is the densest 8192 px of the generated sample slide, repeated 8 x 8 times, every other time mirrored, so that no
seam shows. The levels 4, 16 and 64 are exact means of level 0. It is kept in the user's cache, or below $NAPARI_WSIMIL_CACHE.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import openslide
import simplejpeg
import tifffile

from napari_wsimil.files import written_whole
from napari_wsimil.samples import make_sample_slide, sample_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

VERSION = 1
TILE = 256
QUALITY = 85
"""Gives tissue tiles of about 15 kB, as scanners write."""
MPP = 0.25


def big_slide() -> Path:
    """Path of the slide of 65,536 px, made at the first call (seconds, and 0.9 GB)."""
    return kept(f"big-v{VERSION}.svs", lambda path: make_slide(path, make_sample_slide(), piece=8192, repeats=8))


def small_slide() -> Path:
    """Path of the same in 4096 px: for tests, not for figures."""
    return kept(f"small-v{VERSION}.svs", lambda path: make_slide(path, make_sample_slide(size=2048), piece=2048, repeats=2))


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """Path of a file in the cache, made if it is not there."""
    path = sample_folder() / "benchmarks" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as part:
            make(part)
    return path


def make_slide(path: Path, sample: Path, piece: int, repeats: int) -> None:
    """Write the slide: `repeats` x `repeats` mirrored copies of the densest `piece` px of `sample`; multiples of 2048 and 2."""
    levels = pyramid(densest(sample, piece))
    side = piece * repeats
    describe = f"Aperio Image Library v12.0\r\n{side}x{side} [0,0 {side}x{side}] ({TILE}x{TILE}) JPEG/YCC Q={QUALITY}"
    facts = f"|AppMag = 40|MPP = {MPP}|Filename = generated, for benchmarks"
    small = mirrored(levels[-1], repeats)
    with tifffile.TiffWriter(path) as writer:
        for number, pixels in enumerate(levels):
            across = len(pixels) * repeats
            if across < TILE:
                break
            tiles = lattice(pixels, repeats) if len(pixels) % TILE == 0 else iter(encoded_tiles(mirrored(pixels, repeats)))
            _write(writer, tiles, across, describe + ("" if number else facts))
            if number == 0:
                writer.write(small, photometric="rgb", compression="jpeg", rowsperstrip=16, description=describe, metadata=None)


def densest(sample: Path, side: int) -> Pixels:
    """The square of the sample whose tiles hold the most bytes: tissue, not glass."""
    with tifffile.TiffFile(sample) as file:
        page: Any = file.pages[0]
        counts = np.reshape(page.databytecounts, (-(-page.imagelength // TILE), -(-page.imagewidth // TILE)))
    total = np.pad(counts.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    n = side // TILE
    sums = total[n:, n:] - total[:-n, n:] - total[n:, :-n] + total[:-n, :-n]
    row, column = np.unravel_index(int(sums.argmax()), sums.shape)
    with openslide.OpenSlide(sample) as slide:
        return np.asarray(slide.read_region((int(column) * TILE, int(row) * TILE), 0, (side, side)).convert("RGB"))


def pyramid(pixels: Pixels) -> list[Pixels]:
    """The pixels, and their exact means over 4, 16 and 64 px."""
    levels = [pixels]
    for _ in range(3):
        side = len(pixels) // 4
        means = [band.reshape(4, side, 4, 3).mean((0, 2)) for band in pixels.reshape(side, 4, side * 4, 3)]
        pixels = np.round(means).astype(np.uint8)
        levels.append(pixels)
    return levels


def _flipped(pixels: Pixels, down: int, across: int) -> Pixels:
    return pixels[:: -1 if down else 1, :: -1 if across else 1]


def encoded_tiles(pixels: Pixels) -> list[bytes]:
    side = len(pixels)

    def encode(at: tuple[int, int]) -> bytes:
        tile = np.ascontiguousarray(pixels[at[0] : at[0] + TILE, at[1] : at[1] + TILE])
        return simplejpeg.encode_jpeg(tile, QUALITY, "RGB", "420", fastdct=False)

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(encode, [(row, column) for row in range(0, side, TILE) for column in range(0, side, TILE)]))


def lattice(pixels: Pixels, repeats: int) -> Iterator[bytes]:
    """Encoded tiles, row by row, of mirrored copies of `pixels`; each of the four ways to lie is encoded once."""
    tiles = {(down, across): encoded_tiles(_flipped(pixels, down, across)) for down in (0, 1) for across in (0, 1)}
    across = len(pixels) // TILE
    for row in range(across * repeats):
        for column in range(repeats):
            start = row % across * across
            yield from tiles[row // across % 2, column % 2][start : start + across]


def mirrored(pixels: Pixels, repeats: int) -> Pixels:
    rows = [[_flipped(pixels, down % 2, across % 2) for across in range(repeats)] for down in range(repeats)]
    return np.concatenate([np.concatenate(row, 1) for row in rows])


def _write(writer: Any, encoded: Iterator[bytes], side: int, description: str) -> None:
    writer.write(
        encoded,
        shape=(side, side, 3),
        dtype=np.uint8,
        photometric="ycbcr",
        subsampling=(2, 2),
        compression="jpeg",
        tile=(TILE, TILE),
        description=description,
        metadata=None,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="where to write it instead of the cache")
    path = parser.parse_args().out
    if path is None:
        path = big_slide()
    else:
        make_slide(path, make_sample_slide(), piece=8192, repeats=8)
    print(f"{path}: {path.stat().st_size / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()
