"""One 4096 x 4096 window at random places beside tile borders: by our reader, by peers, and by libjpeg-turbo alone (the limit).

    python benchmarks/io_window.py [--rounds 7] [--quick] [--slide FILE] [--out FILE]

The limit decodes every tile that the window touches once, from its bytes in memory, and puts no window together. One call
on one core; then on all cores: ours in one call, which has threads of its own, the others in four calls for the four
quarters. The row with `out=` writes to memory of the caller that is used again, as the limit does; the others make a new
array of 50 MB.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import simplejpeg
from readers import PEERS, Reader, TileMap, check, cold_slide, ours
from side_by_side import Way, chosen_slide, core_counts, on_cores, options, publish, table, take_turns

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Window = tuple[int, int, int, int]

LIMIT = "limit: libjpeg-turbo, tiles in memory"
OURS = Reader("ours: read_region", ours)


def report(chosen: argparse.Namespace) -> str:
    path = chosen_slide(chosen)
    tiles = TileMap(path)
    side = 1024 if chosen.quick else 4096
    random = np.random.default_rng(1)
    rounds = [[_place(tiles, side, random)] for _ in range(chosen.rounds)]
    parts = [f"## One {side} x {side} window", *check(path, rounds[0][0])]
    for cores in core_counts():
        ways = [_limit(tiles, cores), _into(path, side), _way(path, OURS, 1), *(_way(path, peer, cores) for peer in PEERS)]
        with on_cores(1) if cores == 1 else nullcontext():
            costs = take_turns(ways, rounds)
        parts += [f"### On {cores} core{'s' * (cores > 1)}", table(costs, LIMIT, "window")]
    return "\n\n".join(parts)


def _place(tiles: TileMap, side: int, random: np.random.Generator) -> Window:
    """A window over tissue: around a random tissue tile, and not on a border of tiles."""
    x, y = tiles.corner(int(random.choice(tiles.tissue)))
    left = int(np.clip(x - side // 2, 0, tiles.width - side - tiles.side)) + int(random.integers(1, tiles.side))
    top = int(np.clip(y - side // 2, 0, tiles.height - side - tiles.side)) + int(random.integers(1, tiles.side))
    return left, top, side, side


def _limit(tiles: TileMap, threads: int) -> Way:
    @contextmanager
    def start(windows: Any) -> Iterator[Callable[[], object]]:
        data = [tiles.read(i) for i in tiles.touching(*windows[0])]
        scratch = np.full((threads, tiles.side, tiles.side, 3), 255, np.uint8)

        def decode(thread: int) -> None:
            for k in range(thread, len(data), threads):
                simplejpeg.decode_jpeg(data[k], buffer=scratch[thread])

        if threads == 1:
            yield lambda: decode(0)
            return
        with ThreadPoolExecutor(threads) as pool:
            yield lambda: list(pool.map(decode, range(threads)))

    return Way(LIMIT, start)


def _into(path: Path, side: int) -> Way:
    buffer = np.full((side, side, 3), 255, np.uint8)

    @contextmanager
    def start(windows: Any) -> Iterator[Callable[[], object]]:
        x, y, width, height = windows[0]
        with cold_slide(path) as slide:
            yield lambda: slide.read_region(x, y, width, height, level=0, out=buffer)

    return Way("ours: read_region, out=", start)


def _way(path: Path, reader: Reader, threads: int) -> Way:
    @contextmanager
    def start(windows: Any) -> Iterator[Callable[[], object]]:
        (x, y, width, height) = windows[0]
        half = width // 2
        quarters = [(x + dx, y + dy, half, height // 2) for dy in (0, height // 2) for dx in (0, half)]
        with reader.open(path) as read:  # type: ignore[misc]
            if threads == 1:
                yield lambda: read(x, y, width, height)
                return
            with ThreadPoolExecutor(threads) as pool:
                yield lambda: list(pool.map(lambda quarter: read(*quarter), quarters))

    return Way(reader.name, start if reader.open else None)


def main() -> None:
    chosen = options(__doc__).parse_args()
    publish(chosen, report(chosen))


if __name__ == "__main__":
    main()
