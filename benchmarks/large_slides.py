"""Make large Aperio slides at 0.25 µm per pixel with pieces of tissue on glass, of any size, in little space on disk.

    python benchmarks/large_slides.py

Tissue is the densest 4096 px of the generated sample slide, repeated and mirrored as in `big_slide.py`. Where it lies is the
outline of that slide's three pieces, stretched to the new slide and grown or shrunk until the wanted share is tissue, in steps
of one tile (64 µm); the rest is glass of one colour. The levels 4, 16 and 64 are means of level 0. Tiles that look the same are
in the file once: their places in its table point at the same bytes. Readers decode each of them all the same.

- `bright_slide`: the mean slide of BRIGHT as ZoomMIL's paper has it: 26,009 x 18,234 px at 10x, whose tissue is 3968 patches of
  256 px at 10x (15,872 at 20x), 55 % of it.
- `huge_slide`: 100,000 x 100,000 px, 55 % of which is tissue: some 21,000 patches of 256 px at 20x.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from big_slide import MPP, TILE, densest, encoded_tiles, kept, lattice, mirrored, pyramid
from scipy import ndimage

import napari_wsimil as ws
from napari_wsimil.samples import make_sample_slide

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Mask = NDArray[np.bool_]

VERSION = 1
PIECE = 4096
BRIGHT = 4 * 26_009, 4 * 18_234
BRIGHT_PATCHES = 15_872
"""Mean number of patches of 256 px at 20x in the tissue of BRIGHT's slides (ZoomMIL, section 4)."""
BRIGHT_SHARE = BRIGHT_PATCHES * 512**2 / (BRIGHT[0] * BRIGHT[1])
HUGE = 100_000, 100_000
HUGE_SHARE = 0.55


def bright_slide() -> Path:
    """Path of the slide of BRIGHT's mean size, made at the first call."""
    return kept(f"bright-v{VERSION}.svs", lambda path: make_slide(path, make_sample_slide(), BRIGHT, BRIGHT_SHARE))


def huge_slide() -> Path:
    """Path of the slide of 100,000 px, made at the first call."""
    return kept(f"huge-v{VERSION}.svs", lambda path: make_slide(path, make_sample_slide(), HUGE, HUGE_SHARE))


def tiny_slide() -> Path:
    """Path of a slide of 12,288 x 8192 px made in the same way: for tests, not for figures."""
    sample = make_sample_slide(size=2048)
    return kept(f"tiny-v{VERSION}.svs", lambda path: make_slide(path, sample, (12_288, 8192), 0.5, piece=512))


@dataclass(frozen=True)
class Level:
    """What one level is made of: `pixels` repeat without a seam, and so do `tiles`, their encoded tiles row by row."""

    downsample: int
    pixels: Pixels
    tiles: list[bytes]

    def tile(self, row: int, column: int) -> int:
        """Number of the tile of tissue at a place."""
        across = len(self.pixels) // TILE
        return row % across * across + column % across

    def window(self, row: int, column: int) -> Pixels:
        """(256, 256, 3) pixels of tissue at the place of a tile."""
        top, left = (at % (len(self.pixels) // TILE) * TILE for at in (row, column))
        return self.pixels[top : top + TILE, left : left + TILE]


def make_slide(path: Path, sample: Path, size: tuple[int, int], share: float, piece: int = PIECE) -> None:
    """Write a slide of `size` (width, height), `share` of which is tissue; `piece` px of the sample are repeated."""
    width, height = size
    cells = outline(sample, (-(-height // TILE), -(-width // TILE)), share)
    glass = _glass(sample)
    describe = f"Aperio Image Library v12.0\r\n{width}x{height} [0,0 {width}x{height}] ({TILE}x{TILE}) JPEG/YCC Q=85"
    facts = f"|AppMag = 40|MPP = {MPP}|Filename = generated, for benchmarks"
    levels = [level for level in _repeating(densest(sample, piece)) if level.downsample * TILE <= max(size)]
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for level in levels:
            sides = tuple(-(-side // level.downsample) for side in (height, width))
            _write_empty(writer, sides, describe + (facts if level.downsample == 1 else ""))
            if level.downsample == 1:
                writer.write(_thumbnail(cells, glass), photometric="rgb", compression="jpeg", rowsperstrip=16, metadata=None)
    numbers = [0, *range(2, len(levels) + 1)]
    with path.open("r+b") as file, tifffile.TiffFile(path, mode="r+") as written:
        for number, level in zip(numbers, levels, strict=True):
            _fill(file, written.pages[number], level, cells, glass)


def outline(sample: Path, shape: tuple[int, int], share: float) -> Mask:
    """(rows, columns) cells of tissue: the sample's pieces, stretched, and grown or shrunk all around to `share` of all."""
    with ws.open_slide(sample) as slide:
        mask = ws.find_tissue(slide).mask
    inside = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
    stretched = ndimage.zoom(inside, (shape[0] / mask.shape[0], shape[1] / mask.shape[1]), order=1)
    return np.asarray(stretched >= np.quantile(stretched, 1 - share))


def _glass(sample: Path) -> Pixels:
    """Colour of glass: that of the sample's brightest corner."""
    with ws.open_slide(sample) as slide:
        ends = product((0, slide.width - 64), (0, slide.height - 64))
        corners = [slide.read_region(x, y, 64, 64, level=0).reshape(-1, 3) for x, y in ends]
    return np.median(max(corners, key=np.mean), axis=0).astype(np.uint8)


def _repeating(pixels: Pixels) -> list[Level]:
    """Means over 1, 4, 16 and 64 px of a mirrored 2 x 2 of `pixels`, and of more where that is less than a tile."""
    levels = []
    for number, means in enumerate(pyramid(pixels)):
        repeats = 2
        while len(means) * repeats % TILE:
            repeats *= 2
        # of level 0 no pixels are asked for: there a tile is tissue or glass as a whole
        whole = len(means) % TILE == 0
        tiles = list(lattice(means, repeats)) if whole else encoded_tiles(mirrored(means, repeats))
        shown = mirrored(means, repeats) if number else np.broadcast_to(means[:1, :1], (2 * len(means), 2 * len(means), 3))
        levels.append(Level(4**number, shown, tiles))
    return levels


def _thumbnail(cells: Mask, glass: Pixels) -> Pixels:
    return np.where(cells[..., None], np.uint8([200, 150, 190]), glass).astype(np.uint8)


def _write_empty(writer: Any, sides: tuple[int, ...], description: str) -> None:
    """Write a level whose tiles have no bytes yet."""
    count = int(np.prod([-(-side // TILE) for side in sides]))
    writer.write(
        (b"" for _ in range(count)),
        shape=(*sides, 3),
        dtype=np.uint8,
        photometric="ycbcr",
        subsampling=(2, 2),
        compression="jpeg",
        tile=(TILE, TILE),
        description=description,
        metadata=None,
    )


def _fill(file: Any, page: Any, level: Level, cells: Mask, glass: Pixels) -> None:
    """Append the tiles of a level, each kind once, and let the page's table point at them."""
    plain = np.broadcast_to(glass, (TILE, TILE, 3))
    kinds = [*level.tiles, *encoded_tiles(plain)]
    rows, columns = (-(-side // TILE) for side in (page.imagelength, page.imagewidth))
    chosen = np.empty((rows, columns), np.int64)
    for row, column in product(range(rows), range(columns)):
        n = level.downsample
        part = cells[row * n : (row + 1) * n, column * n : (column + 1) * n]
        if part.all():
            chosen[row, column] = level.tile(row, column)
        elif not part.any():
            chosen[row, column] = len(level.tiles)
        else:
            chosen[row, column] = len(kinds)
            kinds += encoded_tiles(np.where(_enlarged(part, n)[..., None], level.window(row, column), plain))
    lengths = np.array([len(kind) for kind in kinds])
    starts = file.seek(0, 2) + np.concatenate([[0], lengths.cumsum()[:-1]])
    file.write(b"".join(kinds))
    file.flush()
    page.tags["TileOffsets"].overwrite(starts[chosen.ravel()].tolist())
    page.tags["TileByteCounts"].overwrite(lengths[chosen.ravel()].tolist())


def _enlarged(part: Mask, cells: int) -> Mask:
    """(256, 256) pixels of a tile that is `cells` cells wide and high; what lies outside the slide is glass."""
    whole = np.zeros((cells, cells), np.bool_)
    whole[: part.shape[0], : part.shape[1]] = part
    return whole.repeat(TILE // cells, 0).repeat(TILE // cells, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    for path in (bright_slide(), huge_slide()):
        print(f"{path}: {path.stat().st_size / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()
