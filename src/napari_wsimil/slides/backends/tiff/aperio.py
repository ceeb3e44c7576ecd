"""Aperio SVS: tiled pages of one shape are the pyramid; thumbnail, label and macro stand in strips beside it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import tifffile

from napari_wsimil.slides.backends.base import Metadata
from napari_wsimil.slides.backends.tiff.decoders import jpeg_2000_size, limited
from napari_wsimil.slides.backends.tiff.generic import check_pixels, checked_plane, generic_layout, levels_among, read_page
from napari_wsimil.slides.backends.tiff.jpeg2000 import decode_ycbcr
from napari_wsimil.slides.backends.tiff.layout import Layout
from napari_wsimil.slides.backends.tiff.metadata import icc_profile, read_number, tiff_properties, with_resolution

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wsimil.slides.backends.tiff.planes import Plane

_JPEG_2000_YCBCR = 33003
_NAMES = ("thumbnail", "label", "macro")
_LABEL, _MACRO = 1, 9
"""Values of NewSubfileType."""


def aperio_layout(path: Path, file: Any) -> Layout:
    """The pyramid and what stands beside it, by descriptions and shapes: a de-identified slide lacks some of it."""
    pages = list(file.pages)
    first = pages[0]
    if not first.is_tiled:
        return generic_layout(path, file)
    levels = levels_among(first, [page for page in pages[1:] if page.is_tiled])
    associated: dict[str, Any] = {}
    for index, page in enumerate(pages):
        name = _associated_name(page, first, index)
        if page not in levels and name not in associated:
            associated[name] = partial(read_page, index=index)
    images = [_plane(path.name, page) for page in levels]
    return Layout(images, aperio_metadata(first), associated)


def _plane(name: str, page: Any) -> Plane:
    check_pixels(name, page)
    plane = checked_plane(name, page)
    if int(page.compression) == _JPEG_2000_YCBCR:
        plane.decode = limited(decode_ycbcr, 4 * page.tilewidth * page.tilelength, jpeg_2000_size)
    return plane


def _associated_name(page: Any, first: Any, index: int) -> str:
    """What a page beside the pyramid shows. What nobody says is taken for the label: that one is never shown unasked."""
    lines = page.description.splitlines()
    word = lines[1].split(" ")[0].lower() if len(lines) > 1 else ""
    if word in _NAMES:
        return word
    drift = abs(first.imagewidth * page.imagelength - first.imagelength * page.imagewidth)
    # a thumbnail has the shape of the slide, up to its own rounding
    if page.subfiletype not in (_LABEL, _MACRO) and (index == 1 or drift <= 2 * max(first.imagewidth, first.imagelength)):
        return "thumbnail"
    return "macro" if page.subfiletype == _MACRO else "label"


def aperio_metadata(page: Any) -> Metadata:
    """What the description of the first page says."""
    stated = tifffile.tifffile.svs_description_metadata(page.description)
    properties = dict(tiff_properties(page)) | {f"aperio.{key}": str(value) for key, value in stated.items()}
    metadata = Metadata("aperio", properties, objective_power=read_number(stated.get("AppMag")), icc_profile=icc_profile(page))
    mpp = read_number(stated.get("MPP"))
    if mpp is None:
        return with_resolution(metadata, page)
    metadata.mpp, metadata.mpp_source = (mpp, mpp), "vendor"
    return metadata
