"""Ventana (Roche) BIF and TIFF: the cameras' tiles overlap, and the XML tells by how much."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

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
    page_properties,
    read_xml,
)
from napari_wsimil.slides.backends.tiff.ventana_stitching import Stitching, read_stitching

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wsimil.slides._cache import SlideTiles
    from napari_wsimil.slides.backends.tiff.layout import StoredImage
    from napari_wsimil.slides.backends.tiff.planes import Plane

_XMP = 700
_MOST_SHRUNK = 1 << 16
_ASSOCIATED = {"Label Image": "macro", "Label_Image": "macro", "Thumbnail": "thumbnail"}
"""By the description of their pages. The "label image" shows the whole glass."""


def is_ventana(page: Any) -> bool:
    """Whether the first page of a TIFF is that of a Ventana slide."""
    return bool(page.is_bif) or "<iScan" in _xmp(page)


def ventana_layout(path: Path, file: Any) -> Layout:
    """The pages described as levels; with their tiles in place where the first of them says how they overlap.

    Raises
    ------
    UnsupportedError
        Its levels are not steps of whole numbers, or it is stitched in a way that is not known here.
    SlideError
        Its XML can't be read or states what can't be.
    """
    name = path.name
    root = read_xml(name, _xmp(file.pages[0]))
    scan = root if root.tag == "iScan" else root.find("iScan")
    if scan is None:
        raise damaged(name, "the scanner's description in it tells of no scan")
    pages, shrunk = _levels(name, file)
    planes = [tiled_plane(name, page) for page in pages]
    if len({plane.tile_size for plane in planes}) > 1:
        raise UnsupportedError(f"{name} holds levels with tiles of different sizes.")
    encoding = _xmp(pages[0])
    images: list[StoredImage] = list(planes)
    kept = new_native_tiles() if encoding else None
    if kept is not None:
        stitching = read_stitching(name, read_xml(name, encoding), planes[0])
        images = [_stitched(name, plane, stitching, by, kept) for plane, by in zip(planes, shrunk, strict=True)]
    check_descending(name, images)
    associated = {
        _ASSOCIATED[page.description]: partial(read_page, index=index)
        for index, page in enumerate(file.pages)
        if page.description in _ASSOCIATED
    }
    return Layout(images, _metadata(dict(scan.attrib), pages[0]), associated, kept)


def _xmp(page: Any) -> str:
    packet = page.tags.valueof(_XMP)
    return packet.decode("utf-8", "replace").strip("\0 \r\n\t") if isinstance(packet, bytes) else ""


def _levels(name: str, file: Any) -> tuple[list[Any], list[float]]:
    """The pages of the levels, finest first, and by how much each is smaller than the first."""
    pages: list[Any] = []
    magnifications: list[float] = []
    for page in file.pages:
        if "level=" not in page.description:
            continue
        stated = dict(part.split("=", 1) for part in page.description.split(" ") if "=" in part)
        try:
            level, magnification = int(stated["level"]), float(stated["mag"])
        except (KeyError, ValueError) as error:
            raise damaged(name, f"it describes a level as {page.description[:60]!r}") from error
        in_order = level == len(pages) and 0 < magnification < (magnifications or [math.inf])[-1]
        if not in_order or (magnifications or [magnification])[0] > _MOST_SHRUNK * magnification:
            raise damaged(name, f"level {level} at magnification {magnification:g} is out of order")
        pages.append(page)
        magnifications.append(magnification)
    if not pages:
        raise UnsupportedError(f"{name} holds no level of a pyramid.")
    return pages, [magnifications[0] / magnification for magnification in magnifications]


def _stitched(name: str, plane: Plane, stitching: Stitching, shrunk: float, kept: SlideTiles) -> Mosaic:
    """A level whose stored image is the grid of all tiles, without overlap, shrunk as one: each tile is a piece of it."""
    sizes = [int(side // shrunk) for side in plane.tile_size]
    if any(size < 1 or size * shrunk != side for size, side in zip(sizes, plane.tile_size, strict=True)):
        raise UnsupportedError(f"{name} holds a level smaller by {shrunk:g}, which is no whole part of its tiles.")
    steps = [step / shrunk for step in stitching.steps]
    areas, edges = [], []
    for block in stitching.blocks:
        starts = [place / shrunk for place in block.place]
        axes = [
            Axis(start, step, size, count, first, stored)
            for start, step, size, count, first, stored in zip(
                starts, steps, sizes, block.tiles, block.first, (plane.width, plane.height), strict=True
            )
        ]
        areas.append(Area(plane, *axes))
        edges.append([axis.start + (axis.count - 1) * axis.step + axis.size for axis in axes])
    width, height = (math.ceil(max(edge) - 1e-6) for edge in zip(*edges, strict=True))
    check_canvas(name, width, height)
    return Mosaic(width, height, areas, kept)


def _metadata(scan: dict[str, str], page: Any) -> Metadata:
    properties = page_properties(page) | {f"ventana.{key}": value for key, value in scan.items() if value}
    metadata = Metadata("ventana", properties, icc_profile=icc_profile(page))
    mpp, metadata.objective_power = (_positive(scan.get(key, "")) for key in ("ScanRes", "Magnification"))
    if mpp is not None:
        metadata.mpp, metadata.mpp_source = (mpp, mpp), "vendor"
    return metadata


def _positive(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < math.inf else None
