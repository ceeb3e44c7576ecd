"""A folder of stored features."""

from __future__ import annotations

import os
import re
from contextlib import closing, suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import h5py
import numpy as np

from napari_wsimil.bags.store.cache import kept_files, mark_used, trim_files
from napari_wsimil.bags.store.header import header_of, identity_of, is_same
from napari_wsimil.bags.store.layout import BROKEN, Link, read_layout, read_links, write_layout
from napari_wsimil.bags.store.locks import WriterLock, mark_open
from napari_wsimil.bags.store.making import cannot_store, drop_leftovers, make_file, write_rows
from napari_wsimil.bags.store.raw_file import RawFile
from napari_wsimil.bags.store.stored import StoredFeatures, part_of
from napari_wsimil.errors import SlideError
from napari_wsimil.files import written_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_wsimil.bags.store.header import Header
    from napari_wsimil.bags.store.layout import Layout
    from napari_wsimil.encoders import Encoder
    from napari_wsimil.patches import PatchGrid, PatchSpec
    from napari_wsimil.slides import Slide

    Found = tuple[RawFile, Layout]

_NO_PARENTS: Mapping[float, tuple[PatchSpec, NDArray[np.int64]]] = MappingProxyType({})


class FeatureStore:
    """A folder of feature files, shared by slides, encoders and patch settings, and by all processes that see it.

    Parameters
    ----------
    folder
        Made if missing.
    precision
        Take only features computed in it ("fp32", "bf16", "fp16"); None takes any.

    Raises
    ------
    SlideError
        The folder can't be made: said before any work is done.
    """

    def __init__(self, folder: str | Path, *, precision: str | None = None) -> None:
        self.folder = Path(folder).expanduser()
        self.precision = precision
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SlideError(f"{self.folder} can't be a feature store ({error.strerror}); choose another store.") from error

    def path(self, slide: Slide, encoder: Encoder, spec: PatchSpec) -> Path:
        """Where the features of one slide, encoder and patch settings are kept once they are whole."""
        overlap = spec.size - spec.stride
        settings = f"{10 / spec.mpp:g}x_{spec.size}px_{overlap}px_overlap-{spec.digest[:8]}"
        name = f"{stored_name(slide.name)}-{stored_name(slide.fingerprint)[-12:]}.h5"
        return self.folder / settings / f"features_{encoder.id}-{encoder.digest[:8]}" / name

    def stored(self, slide: Slide, encoder: Encoder, spec: PatchSpec) -> Path | None:
        """Return the whole file of exactly these pixels, patch settings and encoder; None where there is none.

        It needs no grid, so no search for tissue; of its numbers only their count is looked at.
        """
        path = self.path(slide, encoder, spec)
        if not path.is_file():
            return None
        with suppress(*BROKEN), h5py.File(path, "r") as file:
            features, coords = file["features"], file["coords"]
            whole = features.shape == (len(coords), encoder.dimension) and len(coords) > 0
            done = "done" not in file or bool((file["done"][:] == 1).all())
            same = is_same(coords, identity_of(slide, encoder, spec))
            if whole and done and same and self._takes(_precisions(coords)):
                return path
        return None

    def load(self, slide: Slide, encoder: Encoder, spec: PatchSpec, grid: PatchGrid) -> NDArray[np.float32] | None:
        """(N, D) features of exactly these pixels, patches and encoder; None where not all are there, or some are damaged."""
        path, header = self.path(slide, encoder, spec), header_of(slide, encoder, spec, grid)
        whole = self._whole(path, header)
        if whole is None:
            return None
        with StoredFeatures(path, header, whole) as stored:
            table = stored.read(np.arange(len(grid)))
            return table if stored.known.all() else None

    def open(
        self,
        slide: Slide,
        encoder: Encoder,
        spec: PatchSpec,
        grid: PatchGrid,
        *,
        parents: Mapping[float, tuple[PatchSpec, NDArray[np.int64]]] = _NO_PARENTS,
    ) -> StoredFeatures:
        """Open the features of a slide as far as they are known, to read them and to add the others.

        What is damaged, or of other pixels, patches or encoders, is begun anew.

        Parameters
        ----------
        grid
            All patches of `spec`, whichever of them will be encoded.
        parents
            mpp of coarser patches -> their spec, and (N,) row of the one around each patch, -1 where there is none.

        Raises
        ------
        SlideError
            The folder can't be written.
        """
        path, header = self.path(slide, encoder, spec), header_of(slide, encoder, spec, grid)
        links = [_link(mpp, path, self.path(slide, encoder, other), other, rows) for mpp, (other, rows) in parents.items()]
        if len(grid) == 0:
            return StoredFeatures(path, header, None)
        try:
            return self._opened(path, header, links)
        except OSError as error:
            raise cannot_store(slide.name, path, error) from error

    def save(self, slide: Slide, encoder: Encoder, spec: PatchSpec, grid: PatchGrid, features: NDArray[np.float32]) -> Path:
        """Write the features of all patches of `grid`, whole or not at all.

        Raises
        ------
        SlideError
            The file can't be written.
        """
        path, header = self.path(slide, encoder, spec), header_of(slide, encoder, spec, grid)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(path) as new:
                write_layout(new, header, [header.precision])
                with closing(RawFile(new, writable=True)) as raw:
                    layout = read_layout(raw, header)
                    if layout is None or layout.done is None:
                        raise OSError("the new file can't be read")
                    write_rows(raw, layout, np.arange(len(grid)), np.ascontiguousarray(features, np.float32))
                    raw.write(np.ones(len(grid), np.uint8), layout.done)
                    raw.sync()
        except OSError as error:
            raise cannot_store(slide.name, path, error) from error
        return path

    def size(self) -> int:
        """Bytes that the features take on the disk, those not whole included."""
        return sum(kept.size for kept in kept_files(self.folder))

    def trim(self, limit: int) -> int:
        """Remove the files used longest ago until at most `limit` bytes are left; returns the bytes that went.

        A file that is being written, or that somebody has open, stays; so does all that is not ours.
        """
        return trim_files(self.folder, limit)

    def _opened(self, path: Path, header: Header, links: list[Link]) -> StoredFeatures:
        whole = self._whole(path, header)
        if whole is not None:
            return StoredFeatures(path, header, self._linked(path, header, links, whole))
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = WriterLock.taken(part_of(path))
        if lock is None:
            # another writes it: what is known now can be read; it may just have become whole
            return StoredFeatures(path, header, self._fitting(part_of(path), header) or self._whole(path, header))
        try:
            return self._as_writer(path, header, links, lock)
        except BaseException:
            lock.release()
            raise

    def _as_writer(self, path: Path, header: Header, links: list[Link], lock: WriterLock) -> StoredFeatures:
        """Open for the holder of the lock, who gives it to what is opened."""
        part = part_of(path)
        drop_leftovers(part)
        found = self._fitting(part, header, writable=True)
        if found is not None and found[1].known.all():
            # killed just before the name was given
            found[0].close()
            part.replace(path)
        # another may have finished between the first look and the lock
        whole = self._whole(path, header)
        if whole is not None:
            if found is not None:
                found[0].close()
            part.unlink(missing_ok=True)
            lock.release()
            return StoredFeatures(path, header, whole)
        if found is None:
            make_file(part, header, [header.precision], links)
        elif not _has_links(found, links):
            _add_links(part, header, links, found)
            found[0].close()
            found = None
        found = found or self._fitting(part, header, writable=True)
        if found is None:
            raise OSError("the new file can't be read")
        return StoredFeatures(path, header, found, lock)

    def _linked(self, path: Path, header: Header, links: list[Link], whole: Found) -> Found:
        """A whole file with these links to coarser patches: as it is, or copied where it lacks some and can be replaced."""
        if _has_links(whole, links):
            return whole
        with suppress(OSError):
            lock = WriterLock.taken(part_of(path))
            if lock is not None:
                try:
                    drop_leftovers(path)
                    _add_links(path, header, links, whole)
                finally:
                    lock.release()
                again = self._whole(path, header)
                if again is not None:
                    whole[0].close()
                    return again
        return whole

    def _whole(self, path: Path, header: Header) -> Found | None:
        found = self._fitting(path, header)
        if found is not None and not found[1].known.all():
            found[0].close()
            return None
        return found

    def _fitting(self, path: Path, header: Header, *, writable: bool = False) -> Found | None:
        """Open a file if it is of these pixels, patches and encoder, and of a precision that is taken."""
        try:
            raw = RawFile(path, writable=writable)
        except OSError as error:
            if writable and not isinstance(error, FileNotFoundError):
                raise
            return None
        layout = read_layout(raw, header)
        if layout is None or not self._takes(layout.precisions) or (writable and layout.done is None):
            raw.close()
            return None
        mark_open(raw)
        mark_used(path)
        return raw, layout

    def _takes(self, precisions: tuple[str, ...]) -> bool:
        return self.precision is None or precisions == (self.precision,)


def stored_name(text: str) -> str:
    """Return what a text looks like in the name of a stored file."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)[-80:]


def _precisions(coords: h5py.Dataset) -> tuple[str, ...]:
    """What features were computed in; files made before there was a choice are "fp32"."""
    return tuple(str(coords.attrs.get("precision", "fp32")).split(","))


def _link(mpp: float, path: Path, other: Path, spec: PatchSpec, rows: NDArray[np.int64]) -> Link:
    return Link(mpp, spec.digest, Path(os.path.relpath(other, path.parent)).as_posix(), np.asarray(rows, np.int64))


def _add_links(path: Path, header: Header, links: list[Link], old: Found) -> None:
    """Replace a file by one with more links."""
    added = [link for link in links if link.digest not in old[1].linked]
    make_file(path, header, old[1].precisions, [*read_links(old[0]), *added], copied=old)


def _has_links(found: Found, links: list[Link]) -> bool:
    return {link.digest for link in links} <= found[1].linked
