"""The ways to read pixels of level 0 that the I/O benchmarks compare: ours, peers', and what lies under all of them."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tifffile
from side_by_side import installed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_wsimil.slides import Slide

    Pixels = NDArray[np.uint8]
    Read = Callable[[int, int, int, int], Pixels]


class Reader(NamedTuple):
    """A library's way to read a window (x, y, width, height) of level 0.

    Parameters
    ----------
    open
        Opens a slide for reading; None where the library is not installed. Every entry opens anew, so that no decoded tile
        is left from the round before.
    slow
        Costs tens of milliseconds a read whatever the size.
    """

    name: str
    open: Callable[[Path], AbstractContextManager[Read]] | None
    slow: bool = False


@contextmanager
def cold_slide(path: Path, **options: Any) -> Iterator[Slide]:
    """Our slide, with not one decoded tile in the cache that all slides share."""
    from napari_wsimil.slides import cache_info, open_slide

    with open_slide(path, **options) as slide:
        if cache_info().bytes:
            raise SystemExit("tiles of another round are still in the cache: these figures would be false")
        yield slide


@contextmanager
def ours(path: Path) -> Iterator[Read]:
    with cold_slide(path) as slide:
        yield lambda x, y, width, height: slide.read_region(x, y, width, height, level=0)


@contextmanager
def _openslide(path: Path) -> Iterator[Read]:
    import openslide

    with openslide.OpenSlide(path) as slide:
        yield lambda x, y, width, height: np.asarray(slide.read_region((x, y), 0, (width, height)).convert("RGB"))


@contextmanager
def _tiffslide(path: Path) -> Iterator[Read]:
    import tiffslide

    with tiffslide.TiffSlide(path) as slide:
        yield lambda x, y, width, height: slide.read_region((x, y), 0, (width, height), as_array=True)


@contextmanager
def zarr_level(path: Path) -> Iterator[Any]:
    """Level 0 as a zarr array over tifffile's store."""
    import zarr

    with tifffile.TiffFile(path) as file, ExitStack() as stack:
        store = stack.enter_context(file.series[0].aszarr(level=0))
        yield zarr.open(store, mode="r")


@contextmanager
def _zarr(path: Path) -> Iterator[Read]:
    with zarr_level(path) as array:
        yield lambda x, y, width, height: array[y : y + height, x : x + width]


@contextmanager
def _zarr_dask(path: Path) -> Iterator[Read]:
    import dask.array as da

    with zarr_level(path) as array:
        lazy = da.from_zarr(array)
        yield lambda x, y, width, height: np.asarray(lazy[y : y + height, x : x + width])


@contextmanager
def _napari_wsi(path: Path) -> Iterator[Read]:
    from napari_wsi.backends.openslide import OpenSlideStore

    store = OpenSlideStore(path)
    lazy = store.to_layer_data_tuples()[0][0][0]
    try:
        yield lambda x, y, width, height: np.asarray(lazy[y : y + height, x : x + width])[..., :3]
    finally:
        store.close()


def _where(opener: Callable[[Path], AbstractContextManager[Read]], *modules: str) -> Any:
    return opener if installed(*modules) else None


PEERS = (
    Reader("tifffile aszarr, zarr", _where(_zarr, "zarr")),
    Reader("tifffile aszarr, zarr, dask", _where(_zarr_dask, "zarr", "dask"), slow=True),
    Reader("OpenSlide", _where(_openslide, "openslide")),
    Reader("tiffslide", _where(_tiffslide, "tiffslide")),
    Reader("napari-wsi (its dask level)", _where(_napari_wsi, "napari_wsi"), slow=True),
)


class TileMap:
    """Where the encoded tiles of level 0 lie, for the ways that know nothing but tiles.

    Attributes
    ----------
    side
        Of the square tiles, in pixels.
    tissue
        Indices of tiles with more bytes than glass has.
    decode
        tifffile's decoder of the level.
    """

    def __init__(self, path: Path) -> None:
        with tifffile.TiffFile(path) as file:
            page: Any = file.pages[0]
            self.width, self.height, self.side = page.imagewidth, page.imagelength, page.tilewidth
            self.offsets, self.counts = tuple(page.dataoffsets), tuple(page.databytecounts)
            self.decode = page.decode
            if page.jpegtables is not None or page.tilelength != self.side or int(page.compression) != 7:
                raise SystemExit(f"{path.name}: the benchmarks want square JPEG tiles with their own tables.")
        self.columns = -(-self.width // self.side)
        counts = np.array(self.counts)
        inside = (np.arange(len(counts)) % self.columns + 1) * self.side <= self.width
        inside &= (np.arange(len(counts)) // self.columns + 1) * self.side <= self.height
        self.tissue = np.flatnonzero(inside & (counts > 1.3 * np.percentile(counts, 1)))
        self.file = os.open(path, os.O_RDONLY)

    def read(self, index: int) -> bytes:
        """The encoded bytes of a tile."""
        return os.pread(self.file, self.counts[index], self.offsets[index])

    def corner(self, index: int) -> tuple[int, int]:
        """(x, y) of a tile."""
        return index % self.columns * self.side, index // self.columns * self.side

    def touching(self, x: float, y: float, width: float, height: float) -> list[int]:
        """Tiles that a window touches."""
        rows = range(int(y) // self.side, -(-int(y + height) // self.side))
        columns = range(int(x) // self.side, -(-int(x + width) // self.side))
        return [row * self.columns + column for row in rows for column in columns]


def check(path: Path, window: tuple[int, int, int, int], readers: tuple[Reader, ...] = PEERS) -> list[str]:
    """A sentence for each reader whose pixels are not ours."""
    told = []
    with ours(path) as read:
        expected = read(*window).astype(int)
    for reader in readers:
        if reader.open:
            with reader.open(path) as read:
                off = int(np.abs(read(*window).astype(int) - expected).max())
            if off:
                told.append(f"{reader.name} gives other pixels, by up to {off}.")
    return told
