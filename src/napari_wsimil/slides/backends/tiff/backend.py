"""TIFF slides of any vendor, read tile by tile from the bytes of the file."""

from __future__ import annotations

import logging
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_wsimil.errors import SlideError
from napari_wsimil.slides.backends.base import DECODE_ERRORS, LARGEST_PIECE, Backend, UnsupportedError, make_levels
from napari_wsimil.slides.backends.byte_reader import ByteReader, file_digest
from napari_wsimil.slides.backends.tiff.aperio import aperio_layout
from napari_wsimil.slides.backends.tiff.directories import check_directories, is_ndpi, is_tiff
from napari_wsimil.slides.backends.tiff.generic import generic_layout
from napari_wsimil.slides.backends.tiff.leica import is_leica, leica_layout
from napari_wsimil.slides.backends.tiff.ndpi import ndpi_layout
from napari_wsimil.slides.backends.tiff.philips import is_philips, philips_layout
from napari_wsimil.slides.backends.tiff.qptiff import qptiff_layout
from napari_wsimil.slides.backends.tiff.trestle import is_trestle, trestle_layout
from napari_wsimil.slides.backends.tiff.ventana import is_ventana, ventana_layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_wsimil.slides.backends.tiff.layout import Layout

# tifffile reports what it meets in odd files to its logger; what matters of it is said by our own sentences
logging.getLogger("tifffile").addHandler(logging.NullHandler())

LAYOUTS: tuple[tuple[Callable[[Any], bool], Callable[[Path, Any], Layout]], ...] = (
    (is_trestle, trestle_layout),
    (is_leica, leica_layout),
    (is_philips, philips_layout),
    (is_ventana, ventana_layout),
    (attrgetter("is_ndpi"), ndpi_layout),
    (attrgetter("is_svs"), aperio_layout),
    (attrgetter("is_qpi"), qptiff_layout),
)
"""Vendors whose pages mean something else than a plain pyramid: how their first page is known, and what the pages mean."""


class TiffBackend(Backend):
    """8-bit RGB TIFF with or without a pyramid, tiled or in strips."""

    name = "tiff"

    def __init__(self, path: Path) -> None:
        self.path = path
        if not is_tiff(path):
            raise UnsupportedError(f"{path.name} is no TIFF.")
        try:
            with self._tifffile() as file:
                layout = self._layout(file)
        except SlideError:
            raise
        # SyntaxError: of tifffile's XML parser; MemoryError: for as many bytes as a damaged tag asks for, before any is read
        except (*DECODE_ERRORS, AttributeError, AssertionError, SyntaxError, MemoryError) as error:
            raise UnsupportedError(
                f"{path.name} starts like a TIFF but is damaged; copy it again or export it anew."
            ) from error
        self._images, self.metadata, self._associated = list(layout.images), layout.metadata, layout.associated
        self._native_tiles = layout.native_tiles
        self._check_memory()
        self._reader = ByteReader(path)
        try:
            self._check_complete()
            self.levels = make_levels([(i.width, i.height) for i in self._images], [i.tile_size for i in self._images])
            if not self._images[0].looks_sound(self._reader):
                raise SlideError(f"{path.name} is damaged: its pixels can't be decoded; copy it again or export it anew.")
        except SlideError:
            self.close()
            raise

    def _tifffile(self) -> Any:
        # by the name alone tifffile would read any .ndpi by the rules of NDPI
        ndpi = is_ndpi(self.path)
        self._whole = check_directories(self.path, ndpi=ndpi)
        return tifffile.TiffFile(self.path, is_ndpi=ndpi)

    def _layout(self, file: Any) -> Layout:
        first = file.pages[0]
        for recognises, layout in LAYOUTS:
            if recognises(first):
                return layout(self.path, file)
        return generic_layout(self.path, file)

    def _check_memory(self) -> None:
        width, height = max((image.tile_size for image in self._images), key=lambda size: size[0] * size[1])
        if width * height > LARGEST_PIECE:
            raise SlideError(
                f"{self.path.name} is compressed in pieces of {width} x {height} pixels, too large to decode one; "
                "save it as a tiled TIFF (for example with vips tiffsave --tile --pyramid)."
            )

    def _check_complete(self) -> None:
        """Say how much lies beyond the end of the file; a coarser level of which nothing is left is left out."""
        found = [image.cut(self._reader.size) for image in self._images]
        missing, stated = (sum(numbers) for numbers in zip(*found, strict=True))
        if not missing:
            if not self._whole:
                self.metadata.notices.append(f"{self.path.name} is cut off: the list of its images breaks off; copy it again.")
            return
        if found[0][0] == found[0][1]:
            raise SlideError(f"{self.path.name} is cut off: nothing of its finest level is left; copy it again.")
        kept = zip(self._images, found, strict=True)
        self._images = [image for image, (lost, all_of_it) in kept if lost < all_of_it or not lost]
        share = max(1, round(100 * missing / stated))
        self.metadata.notices.append(
            f"{self.path.name} is cut off: {missing} of {stated} tiles ({share} %) lie beyond the end of the file and are "
            "shown as background; copy it again."
        )

    def read_tile(
        self, level: int, column: int, row: int, scratch: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8] | None:
        """See `Backend.read_tile`."""
        return self._images[level].read_tile(self._reader, column, row, scratch)

    @cached_property
    def reduces(self) -> bool:
        """See `Backend.reduces`."""
        return all(getattr(image, "reduces", False) for image in self._images)

    def read_tile_reduced(self, level: int, column: int, row: int, factor: int) -> NDArray[np.uint8] | None:
        """See `Backend.read_tile_reduced`."""
        image: Any = self._images[level]
        pixels: NDArray[np.uint8] | None = image.read_tile_reduced(self._reader, column, row, factor)
        return pixels

    def associated_names(self) -> tuple[str, ...]:
        """See `Backend.associated_names`."""
        return tuple(self._associated)

    def associated_image(self, name: str) -> NDArray[np.uint8]:
        """See `Backend.associated_image`."""
        read = self._associated[name]
        with self._tifffile() as file:
            pixels = read(file)
        if pixels.dtype != np.uint8 or pixels.shape[2:] != (3,):
            raise ValueError(f"no RGB image: {pixels.shape} {pixels.dtype}")
        return pixels

    def identity(self) -> Iterable[bytes]:
        """See `Backend.identity`."""
        yield file_digest(self.path)

    def close(self) -> None:
        """See `Backend.close`."""
        self._reader.close()
        if self._native_tiles is not None:
            self._native_tiles.close()
