"""Mosaic slides: pyramid TIFFs of real colorectal tiles laid on the tissue outlines of real slides, with their truth.

    python benchmarks/mosaic_slides.py --work FOLDER [--slides 120 40 60] [--cells 850 1050] [--seed 0]

Tiles are those of `crc5` (224 px, about 1 µm per pixel): adenocarcinoma (AC) and four kinds of tissue without it. A slide's
outline is the tissue mask of a real slide, turned, mirrored, cut and scaled. Inside it the kinds lie in contiguous patches; a
positive slide has 1 to 4 foci of AC on 2 to 40 % of its tissue. Each tile is turned and mirrored at random; outside is white
glass. All tiles of a slide get one stain: they are brought to common colours first, then changed by the slide's own gains.
Levels in steps of two, JPEG tiles of 256 px. Beside each slide lies its truth: `NAME.npz`, the class of each cell of 224 px.

Tiles of the training folder make the training and validation slides (no tile is in both), those of the test folder the test
slides.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import simplejpeg
import tifffile
from mosaic_sources import read_outlines, read_tiles
from scipy import ndimage

from napari_wsimil.files import written_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

CELL, TILE, MASK = 224, 256, 8
"""Pixels of a cell and of a TIFF tile; mask pixels in a cell."""
PARTS = ("train", "validation", "test")
POSITIVE_SHARE = 0.02, 0.40
WHITE = 242
LONGEST = 70
"""Cells along the longer side of a slide at most."""


@dataclass(frozen=True)
class Truth:
    """What a slide shows: `kinds` (rows, columns) int8, number in `KINDS` of each cell, -1 for glass."""

    part: str
    positive: bool
    kinds: NDArray[np.int8]

    def labels(self, xy: NDArray[np.int64]) -> NDArray[np.int64]:
        """1 where the cell of a fine patch at (n, 2) level-0 corners is AC, else 0."""
        row, column = (np.minimum(xy[:, axis] // CELL, self.kinds.shape[1 - axis] - 1) for axis in (1, 0))
        return (self.kinds[row, column] == 0).astype(np.int64)


# -- where everything lies ------------------------------------------------------------------------------------------------


def outline(random: np.random.Generator, masks: list[NDArray[np.bool_]], cells: int) -> NDArray[np.bool_]:
    """A real outline, turned, mirrored, cut and scaled so that its tissue covers about `cells` cells; MASK px a cell."""
    while True:
        mask = masks[random.integers(len(masks))].astype(np.float32)
        if random.random() < 0.5:
            mask = mask[:, ::-1]
        rows, columns = (max(16, int(side * random.uniform(0.6, 1.0))) for side in mask.shape)
        top, left = (int(random.integers(0, side - part + 1)) for side, part in zip(mask.shape, (rows, columns), strict=True))
        mask = ndimage.rotate(mask[top : top + rows, left : left + columns], random.uniform(0, 360), order=1)
        scale = np.sqrt(cells * MASK**2 / max(1.0, float(mask.sum())))
        large = cv2.resize(mask, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR) > 0.5
        where = np.argwhere(large)
        (top, left), (bottom, right) = where.min(axis=0), where.max(axis=0) + 1
        if max(bottom - top, right - left) <= LONGEST * MASK:
            return _on_glass(large[top:bottom, left:right])


def _on_glass(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask on a canvas of whole groups of 4 x 4 cells, with a cell of glass around it."""
    group = 4 * MASK
    sides = [-(-(side + 2 * MASK) // group) * group for side in mask.shape]
    canvas = np.zeros(sides, np.bool_)
    canvas[MASK : MASK + mask.shape[0], MASK : MASK + mask.shape[1]] = mask
    return canvas


def lay_kinds(random: np.random.Generator, mask: NDArray[np.bool_], share: float) -> NDArray[np.int8]:
    """Kind of each cell: patches of the four kinds without tumour, and foci of AC on `share` of the tissue."""
    rows, columns = (side // MASK for side in mask.shape)
    tissue = mask.reshape(rows, MASK, columns, MASK).mean(axis=(1, 3)) >= 0.25
    places = np.argwhere(tissue).astype(np.float64)
    wobbly = places + np.stack([_field(random, tissue.shape)[tissue] for _ in range(2)], axis=1) * 3
    centres = wobbly[random.choice(len(places), int(random.integers(8, 21)))]
    nearest = ((wobbly[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
    kind_of_patch = random.choice([1, 2, 3, 4], len(centres), p=random.dirichlet([2.0] * 4))
    kinds = np.full(tissue.shape, -1, np.int8)
    kinds[tissue] = kind_of_patch[nearest]
    wanted = round(share * len(places))
    if wanted:
        foci = wobbly[random.choice(len(places), int(random.integers(1, 5)))]
        sizes = random.uniform(0.5, 1.5, len(foci))
        near = (np.sqrt(((wobbly[:, None] - foci[None]) ** 2).sum(axis=2)) / sizes).min(axis=1)
        chosen = places[np.argsort(near)[:wanted]].astype(int)
        kinds[chosen[:, 0], chosen[:, 1]] = 0
    return kinds


def _field(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Smooth noise of standard deviation 1."""
    noise = ndimage.gaussian_filter(random.normal(size=shape), 2.0)
    field: NDArray[np.float64] = noise / noise.std()
    return field


# -- pixels ---------------------------------------------------------------------------------------------------------------


def paint(
    random: np.random.Generator, mask: NDArray[np.bool_], kinds: NDArray[np.int8], tiles: list[NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """Level 0: a random tile of its kind, turned and mirrored, in each cell, in the slide's own stain; glass around."""
    rows, columns = kinds.shape
    canvas = np.full((rows * CELL, columns * CELL, 3), WHITE, np.uint8)
    gains, power = random.uniform(0.95, 1.05, 3), random.uniform(0.85, 1.18, 3)
    stain = np.stack(
        [np.clip(255 * g * (np.arange(256) / 255) ** p, 0, 255) for g, p in zip(gains, power, strict=True)], axis=1
    )
    soft = mask.astype(np.float32)
    for row, column in np.argwhere(kinds >= 0):
        pool = tiles[kinds[row, column]]
        tile = np.rot90(pool[random.integers(len(pool))], int(random.integers(4)))
        tile = cv2.LUT(
            np.ascontiguousarray(tile[:, ::-1] if random.random() < 0.5 else tile), stain[None].round().astype(np.uint8)
        )
        inside = _window(soft, row, column)
        if inside is not None:
            tile = np.where(inside, tile, WHITE)
        canvas[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = tile
    return canvas


def _window(soft: NDArray[np.float32], row: int, column: int) -> NDArray[np.bool_] | None:
    """Which pixels of a cell are inside the outline, (224, 224, 1); None for all."""
    part = soft[row * MASK : (row + 1) * MASK, column * MASK : (column + 1) * MASK]
    if part.all():
        return None
    return (cv2.resize(part, (CELL, CELL), interpolation=cv2.INTER_LINEAR) > 0.5)[..., None]


def write_pyramid(path: Path, pixels: NDArray[np.uint8], quality: int = 85) -> None:
    """A tiled pyramid TIFF with JPEG tiles, 1 µm per pixel at level 0, levels in steps of two down to 1024 px."""
    with written_whole(path) as target, tifffile.TiffWriter(target, bigtiff=False) as writer:
        level = 0
        while True:
            writer.write(
                _encoded(pixels, quality),
                shape=pixels.shape,
                dtype=np.uint8,
                photometric="ycbcr",
                subsampling=(2, 2),
                compression="jpeg",
                tile=(TILE, TILE),
                subfiletype=1 if level else 0,
                resolution=(1e4 / 2**level,) * 2,
                resolutionunit="CENTIMETER",
                software="napari-wsimil mosaic",
                metadata=None,
            )
            if max(pixels.shape[:2]) <= 1024:
                return
            pixels = cv2.resize(pixels, (pixels.shape[1] // 2, pixels.shape[0] // 2), interpolation=cv2.INTER_AREA)
            level += 1


def _encoded(pixels: NDArray[np.uint8], quality: int) -> Iterator[bytes]:
    high, wide = pixels.shape[:2]
    glass = simplejpeg.encode_jpeg(np.full((TILE, TILE, 3), WHITE, np.uint8), quality, "RGB", "420")
    for top in range(0, high, TILE):
        for left in range(0, wide, TILE):
            tile = pixels[top : top + TILE, left : left + TILE]
            if tile.shape[:2] != (TILE, TILE):
                lacking = [(0, TILE - tile.shape[0]), (0, TILE - tile.shape[1]), (0, 0)]
                tile = np.pad(tile, lacking, mode="edge")
            tile = np.ascontiguousarray(tile)
            empty = tile[0, 0, 0] == WHITE and (tile == WHITE).all()
            yield glass if empty else simplejpeg.encode_jpeg(tile, quality, "RGB", "420")


# -- the set --------------------------------------------------------------------------------------------------------------


def make_slides(
    work: Path,
    counts: tuple[int, int, int] = (120, 40, 60),
    cells: tuple[int, int] = (850, 1050),
    *,
    seed: int = 0,
    shares: tuple[float, float] = POSITIVE_SHARE,
    limit: int | None = None,
) -> dict[str, list[str]]:
    """Make the slides that are not there yet; every second one is positive. Returns part -> names."""
    folder = work / "slides"
    folder.mkdir(parents=True, exist_ok=True)
    names = {part: [f"{part}_{number:03d}" for number in range(count)] for part, count in zip(PARTS, counts, strict=True)}
    masks: list[NDArray[np.bool_]] = []
    for code, part in enumerate(PARTS):
        missing = [name for name in names[part] if not (folder / f"{name}.tif").exists()]
        if not missing:
            continue
        masks = masks or read_outlines()
        tiles = read_tiles(part, limit)
        for name in missing:
            number = int(name[-3:])
            random = np.random.default_rng([seed, code, number])
            mask = outline(random, masks, int(random.integers(cells[0], cells[1] + 1)))
            share = float(np.exp(random.uniform(*np.log(shares)))) if number % 2 else 0.0
            kinds = lay_kinds(random, mask, share)
            truth = {"part": part, "positive": bool(number % 2), "share": float((kinds == 0).sum() / (kinds >= 0).sum())}
            with written_whole(folder / f"{name}.npz") as target, target.open("wb") as file:
                np.savez_compressed(file, kinds=kinds, truth=json.dumps(truth))
            write_pyramid(folder / f"{name}.tif", paint(random, mask, kinds, tiles))
            print(f"{name}: {(kinds >= 0).sum()} cells, {truth['share']:.1%} AC", flush=True)
    return names


def read_truth(work: Path, name: str) -> Truth:
    """The truth of a slide."""
    with np.load(work / "slides" / f"{name}.npz") as stored:
        told = json.loads(str(stored["truth"]))
        return Truth(told["part"], told["positive"], stored["kinds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--slides", type=int, nargs=3, default=(120, 40, 60), metavar=("TRAIN", "VALIDATION", "TEST"))
    parser.add_argument("--cells", type=int, nargs=2, default=(850, 1050), metavar=("LEAST", "MOST"))
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    make_slides(chosen.work, tuple(chosen.slides), tuple(chosen.cells), seed=chosen.seed)


if __name__ == "__main__":
    main()
