"""Hamamatsu NDPI: a level is one JPEG, and offsets have 64 bits although the file calls itself a 32-bit TIFF."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wsimil.errors import SlideError
from napari_wsimil.slides.backends.base import LARGEST_PIECE, Metadata, UnsupportedError
from napari_wsimil.slides.backends.tiff.generic import read_page
from napari_wsimil.slides.backends.tiff.jpeg_head import read_jpeg_head
from napari_wsimil.slides.backends.tiff.layout import Layout
from napari_wsimil.slides.backends.tiff.metadata import icc_profile, read_number, tiff_properties, with_resolution
from napari_wsimil.slides.backends.tiff.planes import jpeg_stream
from napari_wsimil.slides.backends.tiff.restarts import LARGEST_JPEG, RestartPlane
from napari_wsimil.slides.backends.tiff.vendor import check_canvas

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_LENS, _PLANE, _MCU_STARTS, _MCU_STARTS_HIGH, _PROPERTY_MAP = 65421, 65424, 65426, 65432, 65449
_NAMED = {
    _LENS: "SourceLens",
    65422: "XOffsetFromSlideCentre",
    65423: "YOffsetFromSlideCentre",
    65427: "Reference",
}
"""Private tags by the names that OpenSlide gives them."""
_ASSOCIATED = {-1: "macro", -2: "map"}
_HEAD_BYTES = 1 << 18


def ndpi_layout(path: Path, file: Any) -> Layout:
    """The pyramid at the focal plane 0, macro and map.

    Raises
    ------
    SlideError
        Fluorescence, or sizes that can't be.
    UnsupportedError
        Another compression than JPEG, or a JPEG that can't be taken apart.
    """
    levels, associated = [], {}
    for index, page in enumerate(file.pages):
        lens = _value(page, _LENS)
        if lens is None or lens > 0:
            levels.append(page)
        elif int(lens) in _ASSOCIATED:
            associated[_ASSOCIATED[int(lens)]] = partial(read_page, index=index)
    pages = _pyramid(levels)
    if not pages:
        raise UnsupportedError(f"{path.name} is an NDPI file without a level.")
    return Layout([_plane(path.name, file, page) for page in pages], _metadata(pages[0]), associated)


def _value(page: Any, tag: int) -> Any:
    """The number in a tag, or None where it holds none."""
    value = page.tags.valueof(tag)
    return value if isinstance(value, int | float) else None


def _pyramid(pages: list[Any]) -> list[Any]:
    """The pages of the focal plane nearest to 0, finest first, each size once."""
    planes = [_value(page, _PLANE) or 0 for page in pages]
    middle = min(planes, key=abs, default=0)
    found: list[Any] = []
    for page in sorted((p for p, plane in zip(pages, planes, strict=True) if plane == middle), key=lambda p: -p.imagewidth):
        if not found or page.imagewidth < found[-1].imagewidth:
            found.append(page)
    return found


def _plane(name: str, file: Any, page: Any) -> RestartPlane:
    size = int(page.imagewidth), int(page.imagelength)
    check_canvas(name, *size)
    if page.dtype != np.uint8 or page.samplesperpixel != 3 or int(page.photometric) not in (2, 6):
        # final: OpenSlide would show something
        raise SlideError(
            f"{name} holds {page.bitspersample}-bit pixels of {page.samplesperpixel} channels, not 8-bit RGB: only brightfield "
            "RGB slides can be opened."
        )
    if int(page.compression) != 7:
        raise UnsupportedError(
            f"{name} is compressed in a way that can't be read here (TIFF compression {int(page.compression)})."
        )
    offset, count = (int(np.ravel(page.tags.valueof(tag))[0]) for tag in (273, 279))
    file.filehandle.seek(offset)
    try:
        head = read_jpeg_head(jpeg_stream(file.filehandle.read(min(count, _HEAD_BYTES)), None, int(page.photometric) == 2))
        if max(size) <= LARGEST_JPEG and (head.width, head.height) != size:
            raise ValueError(f"a JPEG of {head.width} x {head.height} pixels stands for {size[0]} x {size[1]}")
        plane = RestartPlane(head, size, (offset, count), _recorded(file, page, offset, count))
    except ValueError as error:
        raise UnsupportedError(f"{name} has a level that can't be read piece by piece ({error}).") from error
    width, height = plane.tile_size
    if width * height > LARGEST_PIECE or max(width, height) > LARGEST_JPEG:
        raise UnsupportedError(f"{name} has a level of {size[0]} x {size[1]} pixels in one JPEG without restart markers.")
    return plane


def _recorded(file: Any, page: Any, offset: int, count: int) -> NDArray[np.int64] | None:
    """Positions of the intervals in the file as the scanner noted them; None where these can't be true."""
    low, high = page.tags.valueof(_MCU_STARTS), page.tags.valueof(_MCU_STARTS_HIGH)
    if not isinstance(low, np.ndarray) or low.ndim != 1 or low.dtype.kind not in "ui":
        return None
    starts = low.astype(np.int64)
    if isinstance(high, np.ndarray) and high.shape == low.shape and high.dtype.kind in "ui":
        starts += high.astype(np.int64) << 32
    if len(starts) < 2 or starts[0] <= 0 or starts[-1] >= count or (np.diff(starts) < 3).any():
        return None
    starts += offset
    for start in (starts[1], starts[len(starts) // 2], starts[-1]):
        file.filehandle.seek(int(start) - 2)
        marker = file.filehandle.read(2)
        if len(marker) < 2 or marker[0] != 0xFF or marker[1] & 0xF8 != 0xD0:
            return None
    return starts


def _metadata(page: Any) -> Metadata:
    properties = dict(tiff_properties(page))
    for tag, name in _NAMED.items():
        value = page.tags.valueof(tag)
        if isinstance(value, str | int | float):
            properties[f"hamamatsu.{name}"] = f"{value:g}" if isinstance(value, float) else str(value)
    stated = page.tags.valueof(_PROPERTY_MAP)
    for line in stated.splitlines() if isinstance(stated, str) else ():
        key, _, value = line.partition("=")
        if key and value:
            properties[f"hamamatsu.{key}"] = value
    metadata = with_resolution(Metadata("hamamatsu", properties, icc_profile=icc_profile(page)), page)
    if metadata.mpp is not None:
        # here the resolution is the scanner's word, not a printer's default
        metadata.mpp_source = "vendor"
    metadata.objective_power = read_number(_value(page, _LENS))
    return metadata
