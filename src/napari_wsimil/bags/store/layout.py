"""The HDF5 file: TRIDENT's layout, made whole at once, so that afterwards bytes only are written.

``/features`` (N, D) float32 and ``/coords`` (N, 2) int64 level-0 pixels, both contiguous, which TRIDENT, CLAM-style readers
and torchmil read; ``/done`` (N,) uint8 tells which features are known and ``/parents`` in which coarser patch each lies. What
others do not know they ignore.
"""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import h5py
import numpy as np

from napari_wsimil.bags.store.header import is_same
from napari_wsimil.bags.store.raw_file import PatientFile

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_wsimil.bags.store.header import Header
    from napari_wsimil.bags.store.raw_file import RawFile

BROKEN = (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError)
"""What h5py raises for files that are damaged or of another kind."""

FLOAT = np.dtype("<f4")
_PAGE = 4096


@dataclass(frozen=True)
class Link:
    """In which patches of a coarser magnification those of a file lie.

    Attributes
    ----------
    mpp
        µm per pixel of the coarser patches.
    digest
        Of their `PatchSpec`.
    path
        Their file, seen from the folder of this one, with "/".
    rows
        (N,) int64 row of the patch around each; -1 where there is none.
    """

    mpp: float
    digest: str
    path: str
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """What a file says of itself.

    Attributes
    ----------
    features, done
        Where their bytes begin; files made before there was a `done` are whole.
    known
        (N,) which features are there.
    precisions
        What they were computed in.
    linked
        Digests of the coarser `PatchSpec` that it has links to.
    """

    features: int
    done: int | None
    known: NDArray[np.bool_]
    precisions: tuple[str, ...]
    linked: frozenset[str]


def write_layout(path: Path, header: Header, precisions: Iterable[str], links: Iterable[Link] = ()) -> None:
    """Make a file without features, which takes little room on the disk until they are written.

    Raises
    ------
    OSError
        It can't be written.
    """
    with closing(PatientFile(path, "w+")) as raw:
        _write(raw, header, precisions, links)
    if raw.error is not None:
        raise raw.error


def _write(raw: PatientFile, header: Header, precisions: Iterable[str], links: Iterable[Link]) -> None:
    with h5py.File(raw, "w", libver="earliest", alignment_threshold=_PAGE, alignment_interval=_PAGE) as file:
        _reserve(file, "features", header.shape)
        file["features"].attrs.update(encoder=header.encoder, name=header.name)
        file["coords"] = header.xy
        file["coords"].attrs.update(header.attributes | header.identity | {"precision": ",".join(precisions)})
        file["done"] = np.zeros(len(header.xy), np.uint8)
        for link in links:
            name = f"parents/{link.mpp:g}"
            dataset = file.create_dataset(name if name not in file else f"{name}-{link.digest[:8]}", data=link.rows)
            dataset.attrs.update(mpp=link.mpp, patchspec_digest=link.digest, path=link.path)


def read_layout(raw: RawFile, header: Header) -> Layout | None:
    """What an open file says of itself; None where it is damaged or not of these pixels, patches and encoder."""
    with suppress(*BROKEN), h5py.File(raw.file, "r") as file:
        features, coords = file["features"], file["coords"]
        start = features.id.get_offset()
        if start is None or start + 4 * features.size > len(raw) or features.dtype != FLOAT:
            return None
        if features.shape != header.shape or not is_same(coords, header.identity) or not np.array_equal(coords[:], header.xy):
            return None
        done = file.get("done")
        return Layout(
            start,
            None if done is None else _bytes_of(done),
            np.full(len(header.xy), True) if done is None else np.asarray(done[:] == 1),
            tuple(str(coords.attrs.get("precision", "fp32")).split(",")),
            frozenset(str(table.attrs["patchspec_digest"]) for table in file.get("parents", {}).values()),
        )
    return None


def read_links(raw: RawFile) -> tuple[Link, ...]:
    """Links of an open file; none where it is damaged."""
    with suppress(*BROKEN), h5py.File(raw.file, "r") as file:
        return tuple(
            Link(float(table.attrs["mpp"]), str(table.attrs["patchspec_digest"]), str(table.attrs["path"]), table[:])
            for table in file.get("parents", {}).values()
        )
    return ()


def _bytes_of(done: h5py.Dataset) -> int:
    """Where the bytes of `done` begin; ValueError where they can't be written in place."""
    start = done.id.get_offset()
    if start is None or done.dtype != np.uint8 or done.ndim != 1:
        raise ValueError("no table of bytes")
    return int(start)


def _reserve(file: h5py.File, name: str, shape: tuple[int, int]) -> None:
    """Make a contiguous dataset that has its place from the start but is not filled: a hole where the system has them."""
    how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    how.set_layout(h5py.h5d.CONTIGUOUS)
    how.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    how.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(FLOAT), h5py.h5s.create_simple(shape), how)
