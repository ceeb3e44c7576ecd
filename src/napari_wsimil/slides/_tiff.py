"""TIFF slides (SVS, pyramidal TIFF, OME-TIFF): tifffile parses them once, the pixels we read ourselves."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_wsimil.errors import SlideError
from napari_wsimil.slides import _tiff_tiles
from napari_wsimil.slides._backend import DECODE_ERRORS, Backend, UnsupportedError, make_levels
from napari_wsimil.slides._bytes import ByteReader, file_digest
from napari_wsimil.slides._tiff_metadata import read_metadata

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

# tifffile reports what it meets in odd files to its logger; what matters of it is said by our own sentences
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MAX_TILE_BYTES = 1 << 29
_ASSOCIATED = ("thumbnail", "label", "macro", "overview")
_OPENSLIDE_KNOWS_BETTER = ("ndpi", "scn", "bif", "philips")
"""Overlapping or padded tiles, or one JPEG for a whole level: OpenSlide puts these together as the vendor means them."""


def is_tiff(path: Path) -> bool:
    """Whether a file starts like a TIFF or BigTIFF."""
    with path.open("rb") as file:
        return file.read(4) in _MAGIC


class TiffBackend(Backend):
    """8-bit RGB TIFF with or without a pyramid, tiled or in strips."""

    name = "tiff"

    def __init__(self, path: Path) -> None:
        self.path = path
        if not is_tiff(path):
            raise UnsupportedError(f"{path.name} is no TIFF.")
        try:
            # by the name alone tifffile would read any .ndpi by the rules of NDPI
            with tifffile.TiffFile(path, is_ndpi=False) as file:
                self._parse(file)
        except SlideError:
            raise
        except (*DECODE_ERRORS, KeyError, AttributeError, AssertionError, ZeroDivisionError) as error:
            raise UnsupportedError(
                f"{path.name} starts like a TIFF but is damaged; copy it again or export it anew."
            ) from error
        self._reader = ByteReader(path)
        try:
            self._check_complete()
            if not _tiff_tiles.looks_sound(self._planes[0], self._reader):
                raise SlideError(f"{path.name} is damaged: its pixels can't be decoded; copy it again or export it anew.")
        except SlideError:
            self._reader.close()
            raise

    def _parse(self, file: Any) -> None:
        for vendor in _OPENSLIDE_KNOWS_BETTER:
            if getattr(file.pages[0], f"is_{vendor}", False):
                text = f"{self.path.name} is a {vendor.upper()} file that OpenSlide does not read."
                raise UnsupportedError(text, expected=True)
        all_series = list(file.series)
        main = _largest(all_series)
        _check_pixels(self.path.name, file, main)
        pages = _pyramid_pages(file, main)
        self._planes = [_tiff_tiles.make_plane(page) for page in pages]
        self._check_memory()
        self.levels = make_levels([(p.width, p.height) for p in self._planes], [p.tile_size for p in self._planes])
        self.metadata = read_metadata(file, main)
        self._associated = {
            series.name.lower(): index
            for index, series in enumerate(all_series)
            if series.name.lower() in _ASSOCIATED and series.pages[0] not in pages
        }

    def _check_memory(self) -> None:
        width, height = max((plane.tile_size for plane in self._planes), key=lambda size: size[0] * size[1])
        if width * height * 3 > _MAX_TILE_BYTES:
            raise SlideError(
                f"{self.path.name} is compressed in pieces of {width} x {height} pixels, too large to decode one; "
                "save it as a tiled TIFF (for example with vips tiffsave --tile --pyramid)."
            )

    def _check_complete(self) -> None:
        for plane in self._planes:
            ends = np.add(plane.offsets, plane.counts)
            missing = int(np.count_nonzero(ends[np.asarray(plane.counts) > 0] > self._reader.size))
            if missing:
                raise SlideError(
                    f"{self.path.name} is cut off: {missing} of {len(ends)} tiles of one level lie beyond the end of the file; "
                    "copy it again."
                )

    def read_tile(
        self, level: int, column: int, row: int, scratch: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8] | None:
        """See `Backend.read_tile`."""
        return _tiff_tiles.read_tile(self._planes[level], self._reader, column, row, scratch)

    def associated_names(self) -> tuple[str, ...]:
        """See `Backend.associated_names`."""
        return tuple(self._associated)

    def associated_image(self, name: str) -> NDArray[np.uint8]:
        """See `Backend.associated_image`."""
        index = self._associated[name]
        with tifffile.TiffFile(self.path, is_ndpi=False) as file:
            pixels: NDArray[np.uint8] = list(file.series)[index].asarray()
        if pixels.dtype != np.uint8 or pixels.shape[2:] != (3,):
            raise ValueError(f"no RGB image: {pixels.shape} {pixels.dtype}")
        return pixels

    def identity(self) -> Iterable[bytes]:
        """See `Backend.identity`."""
        yield file_digest(self.path)

    def close(self) -> None:
        """See `Backend.close`."""
        self._reader.close()


def _largest(all_series: list[Any]) -> Any:
    """The series to show: RGB before anything else, then the largest."""
    return max(all_series, key=lambda series: (series.axes in ("YXS", "SYX"), int(np.prod(series.shape))))


def _check_pixels(name: str, file: Any, series: Any) -> None:
    """Refuse what is not 8-bit interleaved RGB, in words."""
    frame = series.levels[0].pages[0].keyframe
    photometric, samples = int(frame.photometric), int(frame.samplesperpixel)
    if series.dtype != np.uint8 or frame.bitspersample != 8:
        raise UnsupportedError(
            f"{name} holds {_kind(series)} pixels, not 8-bit RGB: only brightfield RGB slides can be opened."
        )
    if series.axes != "YXS" or samples not in (3, 4) or photometric not in (2, 6):
        raise UnsupportedError(
            f"{name} holds a {_kind(series)} image with axes {series.axes} ({' x '.join(map(str, series.shape))}), "
            "not one RGB plane: only brightfield RGB slides can be opened."
        )
    compression = int(frame.compression)
    known = compression in tifffile.TIFF.DECOMPRESSORS and compression != 6
    plain_ycbcr = photometric == 6 and compression not in (7, 33003, 33005, 34712, 50001, 34927)
    if not known or plain_ycbcr or (file.is_svs and compression == 33003):
        raise UnsupportedError(f"{name} is compressed in a way that can't be read here (TIFF compression {compression}).")


def _kind(series: Any) -> str:
    bits = series.dtype.itemsize * 8
    return f"{bits}-bit {'floating-point' if series.dtype.kind == 'f' else 'integer'}"


def _pyramid_pages(file: Any, series: Any) -> list[Any]:
    """One page for each level, finest first; pages of another shape (a thumbnail among them) left out.

    tifffile's levels alone are too few: it takes the second page of an SVS for the thumbnail, which is not always there, and
    knows only steps of certain sizes. So any tiled page of the right shape is a level; in OME-TIFF the metadata decide.
    """
    found = [level.pages[0] for level in series.levels if len(level.pages) == 1 and level.pages[0] is not None]
    if not file.is_ome:
        found += [page for page in file.pages if page.keyframe.is_tiled or page.keyframe.is_reduced]
    first = found[0].keyframe
    pages: list[Any] = found[:1]
    for page in sorted(found[1:], key=lambda page: -int(page.keyframe.imagewidth)):
        frame = page.keyframe
        drift = abs(first.imagewidth * frame.imagelength - first.imagelength * frame.imagewidth)
        # one pixel of rounding in either side of the smaller level is what scanners do
        same_shape = drift <= 2 * max(first.imagewidth, first.imagelength)
        same_kind = all(
            getattr(frame, name) == getattr(first, name) for name in ("bitspersample", "samplesperpixel", "is_tiled")
        )
        if frame.imagewidth < pages[-1].keyframe.imagewidth and same_shape and same_kind:
            pages.append(page)
    return pages
