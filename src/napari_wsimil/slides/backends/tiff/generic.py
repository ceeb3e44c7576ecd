"""OME-TIFF and any other TIFF with or without a pyramid, tiled or in strips; and what other vendors' layouts use of it."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wsimil.errors import SlideError
from napari_wsimil.slides.backends.base import LARGEST_PIECE, UnsupportedError
from napari_wsimil.slides.backends.tiff.decoders import READABLE, decoder, piece_size
from napari_wsimil.slides.backends.tiff.layout import Layout
from napari_wsimil.slides.backends.tiff.metadata import has_entities, parse_xml, read_metadata
from napari_wsimil.slides.backends.tiff.planes import make_plane
from napari_wsimil.slides.backends.tiff.separate import SeparatePlanes
from napari_wsimil.slides.backends.tiff.vendor import check_canvas, check_tiles, damaged, whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_wsimil.slides.backends.tiff.layout import StoredImage
    from napari_wsimil.slides.backends.tiff.planes import Plane

_ASSOCIATED = ("thumbnail", "label", "macro", "overview")
_MOST_PLANES = 1 << 16
_HAS_YCBCR = (7, 33003, 33005, 34712, 50001, 34927)
"""Compressions that turn luma and chroma into RGB by themselves."""


def generic_layout(path: Path, file: Any) -> Layout:
    """The pyramid of the largest RGB series.

    Raises
    ------
    UnsupportedError
        It is not one 8-bit RGB plane, or compressed in a way that is not read here.
    SlideError
        It states sizes that can't be.
    """
    if has_entities(file.pages[0].description):
        raise SlideError(f"{path.name} has a description with XML entities, which could expand to any size.")
    if file.is_ome:
        _check_ome(path.name, file.ome_metadata or "")
    all_series = list(file.series)
    main = _largest(all_series)
    check_pixels(path.name, main.levels[0].pages[0].keyframe, main)
    pages = _pyramid_pages(file, main)
    if any(page.parent is not file for page in pages):
        raise SlideError(f"{path.name} keeps its pixels in other files; open those, or export it as one file.")
    associated: dict[str, Callable[[Any], NDArray[np.uint8]]] = {
        series.name.lower(): partial(_read_series, index=index)
        for index, series in enumerate(all_series)
        if series.name.lower() in _ASSOCIATED and series.pages[0] not in pages
    }
    return Layout([_image(path.name, page) for page in pages], read_metadata(file, main), associated)


def _check_ome(name: str, text: str) -> None:
    """Refuse sizes by which tifffile would take memory for any number of planes."""
    root = parse_xml(text)
    for pixels in () if root is None else root.iterfind(".//{*}Pixels"):
        x, y = (whole(name, pixels.attrib, f"Size{axis}") for axis in "XY")
        check_canvas(name, x, y)
        planes = math.prod(whole(name, pixels.attrib, f"Size{axis}") for axis in "CZT")
        if not 1 <= planes <= _MOST_PLANES:
            raise damaged(name, f"its description tells of {planes:.6g} planes")


def _image(name: str, page: Any) -> StoredImage:
    plane, frame = checked_plane(name, page), page.keyframe
    if int(frame.planarconfig) == 1:
        return plane
    return SeparatePlanes(plane, raw=not frame.is_tiled and int(frame.compression) == 1)


def checked_plane(name: str, page: Any) -> Plane:
    """The plane of a page whose tiles must all be listed.

    Raises
    ------
    SlideError
        It states sizes that can't be, or another number of tiles than these need.
    """
    frame = page.keyframe
    check_canvas(name, frame.imagewidth, frame.imagelength)
    if int(frame.planarconfig) not in (1, 2):
        raise damaged(name, f"{int(frame.planarconfig)} is no way to arrange channels")
    rows, columns = frame.imagelength, 1
    if frame.is_tiled:
        check_tiles(name, frame)
        columns, rows = -(-frame.imagewidth // frame.tilewidth), -(-rows // frame.tilelength)
    else:
        rows = -(-rows // min(max(frame.rowsperstrip, 1), rows))
    needed = rows * columns * (frame.samplesperpixel if int(frame.planarconfig) == 2 else 1)
    if min(len(page.dataoffsets), len(page.databytecounts)) < needed:
        raise damaged(name, f"it lists {min(len(page.dataoffsets), len(page.databytecounts))} of {needed} tiles of one level")
    return make_plane(page)


def read_page(file: Any, *, index: int) -> NDArray[np.uint8]:
    """A small image beside the slide, (rows, columns, 3) uint8; grey ones as RGB.

    Raises
    ------
    SlideError
        It is too large for such an image.
    """
    return _small_image(file, file.pages[index])


def _read_series(file: Any, index: int) -> NDArray[np.uint8]:
    return _small_image(file, list(file.series)[index].pages[0])


def _small_image(file: Any, page: Any) -> NDArray[np.uint8]:
    frame, pieces = page.keyframe, list(zip(page.dataoffsets, page.databytecounts, strict=False))
    if max(page.imagewidth * page.imagelength, math.prod(piece_size(frame)), page.nbytes // 4) > LARGEST_PIECE:
        raise SlideError(f"An associated image of {page.imagewidth} x {page.imagelength} pixels is too large to be one.")
    size = file.filehandle.size
    # bytes that serve as many tiles at once would be copied for each
    if any(offset + count > size for offset, count in pieces) or sum(count for _, count in pieces) > size:
        raise ValueError("its bytes lie beyond the end of the file")
    frame.decode = decoder(frame)
    pixels: NDArray[np.uint8] = page.asarray()
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels


def _largest(all_series: list[Any]) -> Any:
    """The series to show: RGB before anything else, then the largest."""
    return max(all_series, key=lambda series: (series.axes in ("YXS", "SYX"), int(np.prod(series.shape))))


def check_pixels(name: str, frame: Any, image: Any = None) -> None:
    """Refuse what is not 8-bit RGB, in words. `image` is a tifffile series or page; the page itself by default.

    Raises
    ------
    SlideError
        It holds something else: final, for OpenSlide would show it as if it were a stained slide.
    UnsupportedError
        It holds several planes, or is compressed in a way that is not read here.
    """
    image = image or frame
    photometric, samples = int(frame.photometric), int(frame.samplesperpixel)
    if image.dtype != np.uint8 or frame.bitspersample != 8:
        raise SlideError(f"{name} holds {_kind(image)} pixels, not 8-bit RGB: only brightfield RGB slides can be opened.")
    allowed = {"YXS": (3, 4), "SYX": (3,)}.get(image.axes, ())
    if samples not in allowed or photometric not in (2, 6):
        kind = UnsupportedError if "S" in image.axes else SlideError
        # in a damaged file a size may be a list of numbers
        shape = " x ".join(map(str, image.shape))[:60]
        raise kind(
            f"{name} holds a {_kind(image)} image with axes {image.axes} ({shape}), "
            "not one RGB plane: only brightfield RGB slides can be opened."
        )
    compression = int(frame.compression)
    raw_ycbcr = photometric == 6 and (compression not in _HAS_YCBCR or int(frame.planarconfig) == 2)
    if compression not in READABLE or raw_ycbcr:
        raise UnsupportedError(f"{name} is compressed in a way that can't be read here (TIFF compression {compression}).")


def _kind(image: Any) -> str:
    if image.dtype is None:
        return "odd"
    bits = image.dtype.itemsize * 8
    return f"{bits}-bit {'floating-point' if image.dtype.kind == 'f' else 'integer'}"


def _pyramid_pages(file: Any, series: Any) -> list[Any]:
    """One page for each level, finest first; pages of another shape (a thumbnail among them) left out.

    tifffile's levels alone are too few: it knows only steps of certain sizes. So any tiled page of the right shape is a level;
    in OME-TIFF the metadata decide.
    """
    found = [level.pages[0] for level in series.levels if len(level.pages) == 1 and level.pages[0] is not None]
    if not file.is_ome:
        found += [page for page in file.pages if page.keyframe.is_tiled or page.keyframe.is_reduced]
    return levels_among(found[0], found[1:])


def levels_among(first: Any, others: list[Any]) -> list[Any]:
    """`first` and those of the other pages that show the same at fewer pixels, finest first."""
    about = first.keyframe
    pages = [first]
    for page in sorted(others, key=lambda page: -int(page.keyframe.imagewidth)):
        frame = page.keyframe
        drift = abs(about.imagewidth * frame.imagelength - about.imagelength * frame.imagewidth)
        # one pixel of rounding in either side of the smaller level is what scanners do
        same_shape = drift <= 2 * max(about.imagewidth, about.imagelength)
        same_kind = all(
            getattr(frame, name) == getattr(about, name)
            for name in ("bitspersample", "samplesperpixel", "is_tiled", "planarconfig")
        )
        if frame.imagewidth < pages[-1].keyframe.imagewidth and same_shape and same_kind:
            pages.append(page)
    return pages
