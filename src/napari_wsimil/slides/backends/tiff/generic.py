"""SVS, OME-TIFF, QPTIFF and any other tiled TIFF with or without a pyramid."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_wsimil.slides.backends.base import UnsupportedError
from napari_wsimil.slides.backends.tiff.layout import Layout
from napari_wsimil.slides.backends.tiff.metadata import read_metadata
from napari_wsimil.slides.backends.tiff.planes import make_plane

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

_ASSOCIATED = ("thumbnail", "label", "macro", "overview")


def generic_layout(path: Path, file: Any) -> Layout:
    """The pyramid of the largest RGB series.

    Raises
    ------
    UnsupportedError
        It is not one 8-bit RGB plane, or compressed in a way that is not read here.
    """
    all_series = list(file.series)
    main = _largest(all_series)
    check_pixels(path.name, file, main)
    pages = _pyramid_pages(file, main)
    associated: dict[str, Callable[[Any], NDArray[np.uint8]]] = {
        series.name.lower(): partial(_series_image, index=index)
        for index, series in enumerate(all_series)
        if series.name.lower() in _ASSOCIATED and series.pages[0] not in pages
    }
    return Layout([make_plane(page) for page in pages], read_metadata(file, main), associated)


def _series_image(file: Any, index: int) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = list(file.series)[index].asarray()
    return pixels


def _largest(all_series: list[Any]) -> Any:
    """The series to show: RGB before anything else, then the largest."""
    return max(all_series, key=lambda series: (series.axes in ("YXS", "SYX"), int(np.prod(series.shape))))


def check_pixels(name: str, file: Any, series: Any) -> None:
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
