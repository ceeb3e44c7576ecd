"""New files of features, which get their names when they are whole structures."""

from __future__ import annotations

from contextlib import closing, suppress
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np

from napari_wsimil.bags.store.layout import FLOAT, read_layout, write_layout
from napari_wsimil.bags.store.raw_file import RawFile, runs, sync_folder
from napari_wsimil.errors import SlideError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_wsimil.bags.store.header import Header
    from napari_wsimil.bags.store.layout import Layout, Link

_ROWS = 4096
"""Copied at once."""


def make_file(
    path: Path,
    header: Header,
    precisions: Iterable[str],
    links: Iterable[Link] = (),
    *,
    copied: tuple[RawFile, Layout] | None = None,
) -> None:
    """Make a file, with the known features of another one where given, and give it its name when all of it is on the disk.

    So a kill at any moment leaves what was there before, or the new file.

    Raises
    ------
    OSError
        It can't be written.
    """
    new = path.with_name(f".{path.name}.{uuid4().hex}.new")
    try:
        write_layout(new, header, precisions, links)
        with closing(RawFile(new, writable=True)) as raw:
            if copied is not None:
                _copy(*copied, raw, header)
            raw.sync()
        new.replace(path)
        sync_folder(path.parent)
    finally:
        with suppress(OSError):
            new.unlink()


def drop_leftovers(path: Path) -> None:
    """Remove what a killed process left of `make_file`; for the holder of the lock."""
    for left in path.parent.glob(f".{path.name}.*.new"):
        with suppress(OSError):
            left.unlink()


def write_rows(raw: RawFile, layout: Layout, rows: NDArray[np.int64], features: NDArray[np.float32]) -> None:
    """Write (n, D) features of (n,) rows; raises OSError where the disk is full."""
    for first, start, stop in runs(rows):
        raw.write(features[start:stop], layout.features + first * features.shape[1] * FLOAT.itemsize)


def read_rows(raw: RawFile, layout: Layout, rows: NDArray[np.int64], width: int) -> NDArray[np.float32]:
    """(n, D) features of (n,) rows, one read for each stretch of neighbours; raises OSError where the file ends before."""
    features = np.empty((len(rows), width), FLOAT)
    for first, start, stop in runs(rows):
        raw.read_into(features[start:stop], layout.features + first * width * FLOAT.itemsize)
    return features


def cannot_store(name: str, path: Path, error: OSError) -> SlideError:
    """Say that features can't be stored."""
    reason = error.strerror or str(error).splitlines()[0] if str(error) else type(error).__name__
    return SlideError(
        f"Features of {name} can't be stored in {path.parent} ({reason}); make room there or choose another store."
    )


def _copy(old: RawFile, layout: Layout, new: RawFile, header: Header) -> None:
    target = read_layout(new, header)
    if target is None or target.done is None:
        raise OSError("the new file can't be read")
    rows = np.flatnonzero(layout.known)
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        write_rows(new, target, some, read_rows(old, layout, some, header.width))
    new.write(layout.known.astype(np.uint8), target.done)
