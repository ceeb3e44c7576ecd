"""Leica SCN: scanned regions, each a pyramid of its own, placed in nanometres on the glass."""

from __future__ import annotations

import base64
import binascii
import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_wsimil.slides.backends.base import Metadata, UnsupportedError
from napari_wsimil.slides.backends.tiff.generic import read_page
from napari_wsimil.slides.backends.tiff.layout import Layout
from napari_wsimil.slides.backends.tiff.metadata import icc_profile
from napari_wsimil.slides.backends.tiff.mosaic import Area, Axis, Mosaic, new_native_tiles
from napari_wsimil.slides.backends.tiff.tiled import tiled_plane
from napari_wsimil.slides.backends.tiff.vendor import (
    check_canvas,
    check_descending,
    damaged,
    number,
    page_properties,
    read_xml,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from xml.etree import ElementTree as ET

    import numpy as np
    from numpy.typing import NDArray

    from napari_wsimil.slides._cache import SlideTiles

_NAMESPACE = "http://www.leica-microsystems.com/scn/"
_MOST_REGIONS = 1000
_FARTHEST = 1e9
"""nm from the corner of the glass: a metre."""
_SAME_SCALE = 0.02
"""How much the nanometres per pixel of regions on one level may differ: rounding."""
_STATED = {
    "aperture": "{*}scanSettings/{*}illuminationSettings/{*}numericalAperture",
    "creation-date": "{*}creationDate",
    "illumination-source": "{*}scanSettings/{*}illuminationSettings/{*}illuminationSource",
    "objective": "{*}scanSettings/{*}objectiveSettings/{*}objective",
}


class _Stored(NamedTuple):
    """One level of one region: its page, and its size as the XML states it."""

    page: int
    width: int
    height: int


@dataclass
class _Region:
    """One image of the collection; offsets and sizes are (x, y) in nm, levels finest first."""

    offset: tuple[float, float]
    size: tuple[float, float]
    levels: list[_Stored]
    stated: dict[str, str]

    def scale(self, level: int) -> float:
        return self.size[0] / self.levels[level].width


def is_leica(page: Any) -> bool:
    """Whether the first page of a TIFF is that of a Leica SCN slide."""
    return bool(page.is_scn) or (_NAMESPACE in page.description and page.is_tiled)


def leica_layout(path: Path, file: Any) -> Layout:
    """All brightfield regions on one canvas, the glass; the image of the whole glass is the macro image.

    Raises
    ------
    UnsupportedError
        It holds fluorescence only, or regions scanned with different objectives.
    SlideError
        Its XML can't be read or states what can't be.
    """
    name = path.name
    collection = read_xml(name, file.pages[0].description).find("{*}collection")
    if collection is None:
        raise damaged(name, "the scanner's description in it tells of no images")
    glass = number(name, collection.attrib, "sizeX"), number(name, collection.attrib, "sizeY")
    elements = collection.findall("{*}image")
    if len(elements) > _MOST_REGIONS:
        raise damaged(name, f"it states {len(elements)} scanned regions")
    images = [_region(name, element) for element in elements]
    macros = [image for image in images if image.offset == (0.0, 0.0) and image.size == glass]
    regions = [image for image in images if image not in macros]
    bright = [region for region in regions if _is_bright(region)]
    _check_alike(name, regions, bright)
    kept = new_native_tiles()
    levels = [_level(name, file, glass, bright, index, kept) for index in range(len(bright[0].levels))]
    check_descending(name, levels)
    associated = dict(_associated(file, [image for image in macros if _is_bright(image)]))
    metadata = _metadata(file.pages[bright[0].levels[0].page], bright, levels[0])
    metadata.properties |= _barcode(collection)
    return Layout(list(levels), metadata, associated, kept)


def _region(name: str, element: ET.Element) -> _Region:
    view = element.find("{*}view")
    if view is None:
        raise damaged(name, "the scanner's description in it does not say where an image lies")
    x, y, width, height = (number(name, view.attrib, key) for key in ("offsetX", "offsetY", "sizeX", "sizeY"))
    # other focal planes have z="1", "2" ...
    planes = [one for one in element.iterfind("{*}pixels/{*}dimension") if one.get("z", "0") == "0"]
    levels = [_Stored(*(whole(name, one.attrib, key) for key in ("ifd", "sizeX", "sizeY"))) for one in planes]
    if not levels or min(min(level.width, level.height) for level in levels) < 1 or min(width, height) <= 0:
        raise damaged(name, "the scanner's description in it tells of an image without pixels")
    if max(abs(x), abs(y)) > _FARTHEST:
        raise damaged(name, f"the scanner's description in it places an image at {x:.6g}, {y:.6g} nm")
    stated = {key: element.findtext(where) or "" for key, where in _STATED.items()}
    device = element.find("{*}device")
    if device is not None:
        stated |= {"device-model": device.get("model", ""), "device-version": device.get("version", "")}
    return _Region((x, y), (width, height), sorted(levels, key=lambda level: -level.width), stated)


def _is_bright(region: _Region) -> bool:
    return region.stated["illumination-source"] == "brightfield"


def _check_alike(name: str, regions: list[_Region], bright: list[_Region]) -> None:
    """Refuse regions that can't be shown on one canvas."""
    if not bright:
        sources = sorted({region.stated["illumination-source"] or "unknown light" for region in regions})
        found = f"regions scanned with {', '.join(sources)} only" if regions else "no scanned region"
        raise UnsupportedError(f"{name} holds {found}: only brightfield RGB slides can be opened.")
    first = bright[0]
    for region in bright[1:]:
        same = region.stated["objective"] == first.stated["objective"] and len(region.levels) == len(first.levels)
        if not same or any(abs(region.scale(i) / first.scale(i) - 1) > _SAME_SCALE for i in range(len(first.levels))):
            raise UnsupportedError(f"{name} holds regions scanned at different magnifications, which share no canvas.")


def _level(name: str, file: Any, glass: tuple[float, float], regions: list[_Region], index: int, kept: SlideTiles) -> Mosaic:
    scale = min(region.scale(index) for region in regions)
    check_canvas(name, glass[0] / scale, glass[1] / scale)
    areas = []
    for region in regions:
        page = region.levels[index].page
        if not 0 <= page < len(file.pages):
            raise damaged(name, f"the scanner's description in it tells of page {page}, and there are {len(file.pages)}")
        plane = tiled_plane(name, file.pages[page])
        axes = (
            Axis(start=int(offset / scale), step=tile, size=tile, count=-(-length // tile), first=0, stored=length)
            for offset, tile, length in zip(region.offset, plane.tile_size, (plane.width, plane.height), strict=True)
        )
        areas.append(Area(plane, *axes))
    return Mosaic(math.ceil(glass[0] / scale), math.ceil(glass[1] / scale), areas, kept)


def _metadata(page: Any, regions: list[_Region], canvas: Mosaic) -> Metadata:
    first = regions[0]
    properties = page_properties(page) | {f"leica.{key}": value for key, value in first.stated.items() if value}
    properties |= _bounds(canvas)
    metadata = Metadata("leica", properties, icc_profile=icc_profile(page), mpp_source="vendor")
    metadata.mpp = min(region.scale(0) for region in regions) / 1e3, first.size[1] / first.levels[0].height / 1e3
    try:
        metadata.objective_power = float(first.stated["objective"])
    except ValueError:
        metadata.objective_power = None
    return metadata


def _bounds(canvas: Mosaic) -> dict[str, str]:
    """The part of the canvas that was scanned, by OpenSlide's names."""
    edges = [[(int(axis.start), int(axis.start) + axis.stored) for axis in area[1:]] for area in canvas.areas]
    bounds: dict[str, str] = {}
    for axis, side, pairs in zip("xy", ("width", "height"), zip(*edges, strict=True), strict=True):
        begin = min(pair[0] for pair in pairs)
        bounds |= {f"openslide.bounds-{axis}": str(begin), f"openslide.bounds-{side}": str(max(p[1] for p in pairs) - begin)}
    return bounds


def _barcode(collection: ET.Element) -> dict[str, str]:
    """The barcode: base64 in an element since 10/2010, plain in an attribute before."""
    text = collection.findtext("{*}barcode")
    if text is None:
        plain = collection.get("barcode", "")
    else:
        try:
            plain = base64.b64decode(text).decode("utf-8", "replace")
        except binascii.Error:
            plain = ""
    return {"leica.barcode": plain} if plain else {}


def _associated(file: Any, macros: list[_Region]) -> Iterator[tuple[str, Callable[[Any], NDArray[np.uint8]]]]:
    for macro in macros[:1]:
        page = macro.levels[0].page
        if 0 <= page < len(file.pages):
            yield "macro", partial(read_page, index=page)
