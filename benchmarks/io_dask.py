"""What slicing a level costs before a pixel is decoded: 1600 x 1000 px out of a slide of 100,000 x 130,000 px.

    python benchmarks/io_dask.py [--rounds 7] [--quick] [--out FILE]

The tiles come from memory at once, so that only the way to them is measured: the array of `Slide.dask`, as it is and with
all of the window's tiles kept already, and a plain dask array from `from_array` in chunks of 256, 512 and 1024 px.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from readers import cold_slide
from side_by_side import Way, core_counts, on_cores, options, publish, table, take_turns

from napari_wsimil.slides import _open
from napari_wsimil.slides.backends.base import Backend, Metadata, make_levels

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator

WIDTH, HEIGHT = 130_000, 100_000
VIEW = (1600, 1000)
LIMIT = "copying the window out of one array in memory"


class InstantBackend(Backend):
    """Every tile is the same one, in memory."""

    name = "instant"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.levels = make_levels([(WIDTH // n, HEIGHT // n) for n in (1, 4, 16, 64)], [(256, 256)] * 4)
        self.metadata = Metadata("none", {}, (0.25, 0.25), "vendor")
        self._tile = np.full((256, 256, 3), 200, np.uint8)

    def read_tile(self, level: int, column: int, row: int, scratch: Any = None) -> Any:
        return self._tile

    def associated_names(self) -> tuple[str, ...]:
        return ()

    def associated_image(self, name: str) -> Any:
        raise KeyError(name)

    def identity(self) -> Iterable[bytes]:
        yield b"instant"

    def close(self) -> None:
        pass


class InstantLevel:
    """The same level for plain dask."""

    shape = (HEIGHT, WIDTH, 3)
    dtype = np.dtype(np.uint8)
    ndim = 3

    def __getitem__(self, index: tuple[slice, ...]) -> Any:
        return np.broadcast_to(np.uint8(200), tuple(len(range(*s.indices(n))) for s, n in zip(index, self.shape, strict=True)))


def report(chosen: argparse.Namespace) -> str:
    random = np.random.default_rng(3)
    count = 4 if chosen.quick else 24
    rounds = [random.integers(0, HEIGHT - max(VIEW), (count, 2)).tolist() for _ in range(chosen.rounds)]
    with on_cores(1) if core_counts()[0] == 1 else nullcontext(), tempfile.NamedTemporaryFile() as file:
        file.write(b"instant")
        file.flush()
        _open.FORMATS["instant"] = _open.Format(lambda _: True, InstantBackend)
        costs = take_turns(_ways(Path(file.name)), rounds)
    mine = sorted(cost.cpu for cost in costs["ours: Slide.dask"] or ())[chosen.rounds // 2]
    verdict = f"Ours costs {1e3 * mine:.1f} ms of CPU per slice (wanted: at most 3)."
    title = f"## A slice of {VIEW[0]} x {VIEW[1]} px out of {WIDTH:,} x {HEIGHT:,} px, before decoding, on 1 core"
    return "\n\n".join([title, table(costs, LIMIT, "slice"), verdict])


def _ways(path: Path) -> list[Way]:
    memory = np.full((VIEW[1], VIEW[0], 3), 200, np.uint8)

    @contextmanager
    def copying(corners: Any) -> Iterator[Callable[[], object]]:
        yield lambda: _each(lambda _: memory.copy(), corners)

    @contextmanager
    def ours(corners: Any) -> Iterator[Callable[[], object]]:
        with cold_slide(path, backend="instant") as slide:
            level = slide.dask(0)
            yield lambda: _each(lambda corner: _slice(level, corner), corners)

    @contextmanager
    def again(corners: Any) -> Iterator[Callable[[], object]]:
        with cold_slide(path, backend="instant") as slide:
            level = slide.dask(0)
            _each(lambda corner: _slice(level, corner), corners)
            yield lambda: _each(lambda corner: _slice(level, corner), corners)

    def plain(side: int) -> Any:
        level = da.from_array(InstantLevel(), chunks=(side, side, 3), asarray=False, meta=np.empty((0, 0, 0), np.uint8))

        @contextmanager
        def start(corners: Any) -> Iterator[Callable[[], object]]:
            yield lambda: _each(lambda corner: _slice(level, corner), corners)

        return start

    plains = [Way(f"dask from_array, chunks of {side}", plain(side), 0.25) for side in (256, 512, 1024)]
    return [Way(LIMIT, copying), Way("ours: Slide.dask", ours), Way("ours: Slide.dask, seen before", again), *plains]


def _each(do: Callable[[tuple[int, int]], object], corners: Any) -> None:
    for corner in corners:
        do(corner)


def _slice(level: Any, corner: tuple[int, int]) -> Any:
    x, y = corner
    return np.asarray(level[y : y + VIEW[1], x : x + VIEW[0]])


def main() -> None:
    chosen = options(__doc__, slide=False).parse_args()
    if chosen.quick:
        chosen.rounds = min(chosen.rounds, 2)
    publish(chosen, report(chosen))


if __name__ == "__main__":
    main()
