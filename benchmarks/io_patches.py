"""Patches for inference, 256 px at 0.5 µm per pixel of tissue only, beside the limit of decoding each tile once.

    python benchmarks/io_patches.py [--rounds 7] [--quick] [--slide FILE] [--out FILE]

Each round reads one neighbourhood of patches, in the order of a grid, from a slide stored at 0.25 µm per pixel. The limit
decodes each tile that any of them touches once, from its bytes in memory, in as many threads, and makes no patches of them.
One table has a grid on tile borders, one a grid beside them. The last is from the sample slide, stored at 0.5 µm per pixel:
nothing to shrink, and a quarter of the tiles to decode.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import openslide
import simplejpeg
from PIL import Image
from readers import TileMap, cold_slide
from side_by_side import Way, chosen_slide, core_counts, on_cores, options, publish, table, take_turns

from napari_wsimil.samples import make_sample_slide

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from pathlib import Path

LIMIT = "limit: libjpeg-turbo, each tile once"
SIZE, MPP = 256, 0.5
BLOCK = 20
"""Patches along one side of a neighbourhood."""
RUN = 8
"""Patches that a thread of a peer takes at a time."""


def report(chosen: argparse.Namespace) -> str:
    big = chosen_slide(chosen)
    sample = make_sample_slide(size=2048) if chosen.quick else make_sample_slide()
    parts = [f"## Patches of {SIZE} px at {MPP} µm per pixel"]
    for title, path, zoom, offset in (
        ("from 0.25 µm per pixel, on tile borders", big, 2, 0),
        ("from 0.25 µm per pixel, beside tile borders", big, 2, 100),
        ("from 0.5 µm per pixel, beside tile borders", sample, 1, 100),
    ):
        tiles = TileMap(path)
        rounds = _neighbourhoods(tiles, SIZE * zoom, offset, chosen)
        for cores in core_counts():
            with on_cores(1) if cores == 1 else nullcontext():
                costs = take_turns(_ways(path, tiles, zoom, cores), rounds)
            parts += [f"### {title}, on {cores} core{'s' * (cores > 1)}", table(costs, LIMIT, "patch")]
    return "\n\n".join(parts)


def _neighbourhoods(tiles: TileMap, side: int, offset: int, chosen: argparse.Namespace) -> list[Any]:
    """For each round (n, 2) corners: the patches of a block around a random tissue tile that touch nothing but tissue tiles."""
    random = np.random.default_rng(2)
    tissue = set(tiles.tissue.tolist())
    block = 4 if chosen.quick else BLOCK
    found: list[Any] = []
    while len(found) < chosen.rounds:
        x, y = (value // side - block // 2 for value in tiles.corner(int(random.choice(tiles.tissue))))
        corners = [
            (column * side + offset, row * side + offset)
            for row in range(max(y, 0), min(y + block, (tiles.height - offset) // side))
            for column in range(max(x, 0), min(x + block, (tiles.width - offset) // side))
        ]
        kept = [corner for corner in corners if tissue.issuperset(tiles.touching(*corner, side, side))]
        if len(kept) >= (1 if chosen.quick else len(corners) // 2):
            found.append(np.array(kept))
    return found


def _ways(path: Path, tiles: TileMap, zoom: int, threads: int) -> list[Way]:
    buffer = np.full((BLOCK * BLOCK, SIZE, SIZE, 3), 255, np.uint8)
    area = [Way("ours: read_patches", _ours(path, buffer, "area"))]
    scaled = [Way('ours: read_patches, resampling="dct"', _ours(path, buffer, "dct"))] if zoom > 1 else []
    return [Way(LIMIT, _limit(tiles, zoom, threads)), *area, *scaled, Way("OpenSlide, Pillow", _openslide(path, zoom, threads))]


def _ours(path: Path, buffer: Any, resampling: Any) -> Any:
    @contextmanager
    def start(corners: Any) -> Iterator[Callable[[], object]]:
        with cold_slide(path) as slide:
            yield lambda: slide.read_patches(corners, SIZE, MPP, out=buffer[: len(corners)], resampling=resampling)

    return start


def _limit(tiles: TileMap, zoom: int, threads: int) -> Any:
    scratch = np.full((threads, tiles.side, tiles.side, 3), 255, np.uint8)

    @contextmanager
    def start(corners: Any) -> Iterator[Callable[[], object]]:
        side = SIZE * zoom
        needed = sorted({i for x, y in corners.tolist() for i in tiles.touching(x, y, side, side)})
        data = [tiles.read(i) for i in needed]

        def decode(thread: int) -> None:
            for k in range(thread, len(data), threads):
                simplejpeg.decode_jpeg(data[k], buffer=scratch[thread])

        with ThreadPoolExecutor(threads) as pool:
            yield lambda: list(pool.map(decode, range(threads)))

    return start


def _openslide(path: Path, zoom: int, threads: int) -> Any:
    side = SIZE * zoom

    @contextmanager
    def start(corners: Any) -> Iterator[Callable[[], object]]:
        places = [tuple(corner) for corner in corners.tolist()]
        with openslide.OpenSlide(path) as slide, ThreadPoolExecutor(threads) as pool:

            def read(first: int) -> None:
                for place in places[first : first + RUN]:
                    pixels = slide.read_region(place, 0, (side, side)).convert("RGB")
                    np.asarray(pixels if zoom == 1 else pixels.resize((SIZE, SIZE), Image.Resampling.BOX))

            yield lambda: list(pool.map(read, range(0, len(places), RUN)))

    return start


def main() -> None:
    chosen = options(__doc__).parse_args()
    publish(chosen, report(chosen))


if __name__ == "__main__":
    main()
