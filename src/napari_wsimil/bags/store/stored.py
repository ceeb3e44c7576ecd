"""The stored features of one slide at one magnification, open for reading and, for one at a time, for writing."""

from __future__ import annotations

import math
import os
import threading
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_wsimil.bags.store.layout import FLOAT, read_layout, read_links
from napari_wsimil.bags.store.making import cannot_store, make_file, read_rows, write_rows
from napari_wsimil.bags.store.raw_file import RawFile, sync_folder
from napari_wsimil.errors import SlideError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from numpy.typing import ArrayLike, NDArray

    from napari_wsimil.bags.store.header import Header
    from napari_wsimil.bags.store.layout import Layout
    from napari_wsimil.bags.store.locks import WriterLock


class StoredFeatures:
    """Features of one slide, encoder and patch settings, as far as they are known; made by `FeatureStore.open`.

    Reading, writing and flushing may come from several threads at once.

    Attributes
    ----------
    path
        The file once it is whole.
    known
        (N,) bool, which features can be read. `write` adds to it; `read` takes out what it finds damaged.
    writable
        Whether `write` keeps anything: not where all was known, where another process is at the same features, or where the
        file system has no locks.
    """

    def __init__(
        self, path: Path, header: Header, found: tuple[RawFile, Layout] | None, lock: WriterLock | None = None
    ) -> None:
        self.path = path
        self._header, self._found, self._lock = header, found, lock
        self.known: NDArray[np.bool_] = found[1].known.copy() if found else np.zeros(len(header.xy), np.bool_)
        self.writable = lock is not None
        # `_file` for whoever moves in the file, `_flushing` for whoever changes which file it is, or what is marked in it
        self._file, self._flushing = threading.RLock(), threading.RLock()
        self._marked = self.known.copy()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            with suppress(SlideError):
                self.close()

    @property
    def precisions(self) -> tuple[str, ...]:
        """What the features in the file were computed in."""
        return tuple(self._found[1].precisions) if self._found else ()

    @property
    def part(self) -> Path:
        """The file while it is not whole."""
        return part_of(self.path)

    def read(self, rows: ArrayLike) -> NDArray[np.float32]:
        """Read features of known rows.

        Numbers that are not finite are damage: such rows are no longer `known` afterwards, so look at `known` after reading.

        Parameters
        ----------
        rows
            (n,) in any order.

        Returns
        -------
        (n, D) float32.

        Raises
        ------
        ValueError
            A row is not known.
        """
        wanted = np.asarray(rows, dtype=np.int64).reshape(-1)
        with self._file:
            if not self.known[wanted].all():
                raise ValueError("features were asked for that are not stored")
            if len(wanted) == 0 or self._found is None:
                return np.empty((0, self._header.width), FLOAT)
            try:
                features = read_rows(*self._found, wanted, self._header.width)
            except OSError:
                # a bad sector, or the file was cut short behind our back
                features = np.full((len(wanted), self._header.width), np.nan, FLOAT)
            bad = _not_finite(features)
            if bad is not None:
                self.known[wanted[bad]] = False
                self._discard()
        if bad is not None and self.writable:
            # unmarked before anything is written in its place
            self.flush()
        return features

    def write(self, rows: ArrayLike, features: ArrayLike) -> None:
        """Keep features of rows not known yet; those of known rows stay as they are, those not finite are not kept.

        They are found again after a kill once `flush` came back.

        Parameters
        ----------
        rows
            (n,) in any order.
        features
            (n, D).

        Raises
        ------
        SlideError
            The disk is full, or gone.
        """
        if not self.writable or self._closed:
            return
        wanted = np.asarray(rows, dtype=np.int64).reshape(-1)
        table = np.ascontiguousarray(features, dtype=FLOAT)
        if table.shape != (len(wanted), self._header.width):
            raise ValueError(f"features of shape {table.shape} for {len(wanted)} rows of {self._header.width}")
        bad = _not_finite(table)
        try:
            self._say_precision()
            with self._file:
                new = ~self.known[wanted] if bad is None else ~self.known[wanted] & ~bad
                if self._found is not None and new.any():
                    write_rows(*self._found, wanted[new], table if new.all() else table[new])
                    self.known[wanted[new]] = True
        except OSError as error:
            raise cannot_store(self._header.name, self.path, error) from error

    def flush(self) -> None:
        """Make sure that what was written so far is found again: the features first, then the marks that they are there.

        Raises
        ------
        SlideError
            The disk is full, or gone.
        """
        try:
            with self._flushing:
                self._flush()
        except OSError as error:
            raise cannot_store(self._header.name, self.path, error) from error

    def close(self) -> None:
        """Flush; a file that is whole gets its name, one without any features goes, any other stays for the next time.

        Raises
        ------
        SlideError
            The disk is full, or gone.
        """
        with self._flushing:
            if self._closed:
                return
            try:
                self._flush()
                with self._file:
                    self._closed = True
                    self._close_file()
                    if self.writable:
                        self._settle()
            except OSError as error:
                raise cannot_store(self._header.name, self.path, error) from error
            finally:
                self._closed, self.writable = True, False
                self._close_file()
                if self._lock is not None:
                    self._lock.release()

    def _flush(self) -> None:
        with self._file:
            if self._closed or not self.writable or self._found is None or np.array_equal(self.known, self._marked):
                return
            (raw, layout), known = self._found, self.known.copy()
        # reading and writing may go on while the disk works
        raw.sync()
        with self._file:
            if layout.done is not None:
                raw.write((known & self.known).astype(np.uint8), layout.done)
        raw.sync()
        self._marked = known

    def _settle(self) -> None:
        """Give a whole file its name."""
        if self.known.all():
            # Windows renames no file that another has open: then the next to open it does
            with suppress(*([PermissionError] if os.name == "nt" else [])):
                self.part.replace(self.path)
                sync_folder(self.path.parent)
        elif not self.known.any():
            self.part.unlink(missing_ok=True)

    def _say_precision(self) -> None:
        """Add the precision of this encoder to those that a resumed file names, by a copy that takes its place."""
        if self._found is None or self._header.precision in self._found[1].precisions:
            return
        with self._flushing, self._file:
            self._flush()
            raw, layout = self._found
            current, names = replace(layout, known=self.known), (*layout.precisions, self._header.precision)
            make_file(self.part, self._header, names, read_links(raw), copied=(raw, current))
            again = RawFile(self.part, writable=True)
            made = read_layout(again, self._header)
            if made is None:
                again.close()
                raise OSError("the file can't be read again")
            raw.close()
            self._found, self._marked = (again, made), self.known.copy()

    def _discard(self) -> None:
        """A whole file that is damaged goes, so that nobody takes it for good; of a part only the marks."""
        if self._found is not None and not self.writable and self._found[0].is_at(self.path):
            with suppress(OSError):
                self.path.unlink()

    def _close_file(self) -> None:
        if self._found is not None:
            self._found[0].close()


def part_of(path: Path) -> Path:
    """Name of a file while it is not whole."""
    return path.with_name(f"{path.name}.part")


def _not_finite(features: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """(n,) which rows hold numbers that are not finite; None where none does.

    The sum is finite unless a number is not, and costs a fifth of looking at each; one that overflows is looked at twice.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if math.isfinite(float(features.sum())):
            return None
    bad: NDArray[np.bool_] = ~np.asarray(np.isfinite(features).all(axis=1))
    return bad if bad.any() else None
