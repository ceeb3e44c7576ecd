"""Random native tiles of tissue, by our reader, by peers, and by libjpeg-turbo alone on the same bytes in memory (the limit).

    python benchmarks/io_tiles.py [--rounds 7] [--quick] [--slide FILE] [--out FILE]

Each round draws its own tiles, and each way opens the slide anew for it, so that nobody finds a decoded tile; the encoded
ones are in the page cache. Ways that can write to memory of the caller do, and the limit decodes into such memory as well.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import simplejpeg
from readers import PEERS, Reader, TileMap, check, cold_slide, ours
from side_by_side import Way, chosen_slide, core_counts, on_cores, options, publish, ratio, table, take_turns

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from pathlib import Path

LIMIT = "limit: libjpeg-turbo, tiles in memory"
OURS = "ours: read_patches"
RUN = 16
"""Tiles that a thread takes at a time."""


def report(chosen: argparse.Namespace) -> str:
    path = chosen_slide(chosen)
    tiles = TileMap(path)
    count = 32 if chosen.quick else 1024
    random = np.random.default_rng(0)
    rounds = [random.choice(tiles.tissue, min(count, len(tiles.tissue)), replace=False) for _ in range(chosen.rounds)]
    parts = ["## Random native tiles", *check(path, (*tiles.corner(int(rounds[0][0])), tiles.side, tiles.side))]
    for cores in core_counts():
        with on_cores(cores) if cores == 1 else nullcontext():
            costs = take_turns(ways(path, tiles, cores), rounds)
        parts += [f"### On {cores} core{'s' * (cores > 1)}, {len(rounds[0])} tiles a round", table(costs, LIMIT, "tile")]
        faster = ratio(costs["OpenSlide"], costs[OURS], 0)
        parts.append(f"OpenSlide takes {faster:.1f} times the CPU of read_patches (wanted: 5 or more).")
    return "\n\n".join(parts)


def ways(path: Path, tiles: TileMap, threads: int) -> list[Way]:
    """All ways with as many threads; ours has its own pool in `read_patches`, kept on as many cores."""
    buffer = np.full((1024, tiles.side, tiles.side, 3), 255, np.uint8)  # filled, so that its pages are there

    def encoded(indices: Any) -> Iterator[Callable[[int], object]]:
        data = [tiles.read(int(i)) for i in indices]
        yield lambda k: simplejpeg.decode_jpeg(data[k], buffer=buffer[k])

    def by_simplejpeg(indices: Any) -> Iterator[Callable[[int], object]]:
        yield lambda k: simplejpeg.decode_jpeg(tiles.read(int(indices[k])), buffer=buffer[k])

    def by_imagecodecs(indices: Any) -> Iterator[Callable[[int], object]]:
        yield lambda k: imagecodecs.jpeg8_decode(tiles.read(int(indices[k])))

    def by_page(indices: Any) -> Iterator[Callable[[int], object]]:
        yield lambda k: tiles.decode(tiles.read(int(indices[k])), int(indices[k]))

    @contextmanager
    def patches(indices: Any) -> Iterator[Callable[[], object]]:
        xy = np.array([tiles.corner(int(i)) for i in indices])
        with cold_slide(path) as slide:
            mpp = slide.mpp[0] if slide.mpp else None
            if mpp is None:
                raise SystemExit(f"{path.name} does not know its mpp.")
            yield lambda: slide.read_patches(xy, tiles.side, mpp, out=buffer[: len(xy)])

    def window(reader: Reader) -> Callable[[Any], Iterator[Callable[[int], object]]]:
        def each(indices: Any) -> Iterator[Callable[[int], object]]:
            with reader.open(path) as read:  # type: ignore[misc]
                yield lambda k: read(*tiles.corner(int(indices[k])), tiles.side, tiles.side)

        return each

    mine = Reader("ours: read_region, tile by tile", ours)
    return [
        Way(LIMIT, _threaded(threads, encoded)),
        Way(OURS, patches),
        *(Way(r.name, _threaded(threads, window(r)) if r.open else None, 1 / 64 if r.slow else 1.0) for r in (mine, *PEERS)),
        Way("pread, simplejpeg", _threaded(threads, by_simplejpeg)),
        Way("pread, imagecodecs", _threaded(threads, by_imagecodecs)),
        Way("tifffile page.decode", _threaded(threads, by_page)),
    ]


def _threaded(threads: int, one: Callable[[Any], Iterator[Callable[[int], object]]]) -> Any:
    """Do `one` for each tile in a pool; with one thread, in this one."""

    @contextmanager
    def start(indices: Any) -> Iterator[Callable[[], object]]:
        with contextmanager(one)(indices) as do:

            def run_of(first: int) -> None:
                for k in range(first, min(first + RUN, len(indices))):
                    do(k)

            firsts = range(0, len(indices), RUN)
            if threads == 1:
                yield lambda: [run_of(first) for first in firsts]
                return
            with ThreadPoolExecutor(threads) as pool:
                yield lambda: list(pool.map(run_of, firsts))

    return start


def main() -> None:
    chosen = options(__doc__).parse_args()
    publish(chosen, report(chosen))


if __name__ == "__main__":
    main()
