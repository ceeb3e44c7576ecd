"""The plane of a page that must be tiled RGB, as the vendors' scanners write it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_wsimil.slides.backends.base import UnsupportedError
from napari_wsimil.slides.backends.tiff.generic import check_pixels
from napari_wsimil.slides.backends.tiff.planes import make_plane
from napari_wsimil.slides.backends.tiff.vendor import check_canvas, check_tiles, damaged

if TYPE_CHECKING:
    from napari_wsimil.slides.backends.tiff.planes import Plane

_MOST_TILES = 1 << 22
"""Of one level; what a whole glass slide scanned at 0.1 µm per pixel needs with tiles of 512 px."""


def tiled_plane(name: str, page: Any) -> Plane:
    """The plane of a page that must be tiled 8-bit RGB.

    Last rows of tiles that the file does not list, as Philips does, count as not scanned.

    Raises
    ------
    UnsupportedError
        It is not tiled, or is compressed in a way that is not read here.
    SlideError
        It holds no RGB, or states sizes that can't be.
    """
    frame = page.keyframe
    check_canvas(name, frame.imagewidth, frame.imagelength)
    if not frame.is_tiled:
        raise UnsupportedError(f"{name} holds a level that is not cut into tiles.")
    check_pixels(name, frame)
    if int(frame.planarconfig) != 1:
        raise UnsupportedError(f"{name} holds a level with its channels apart.")
    check_tiles(name, frame)
    columns, rows = -(-frame.imagewidth // frame.tilewidth), -(-frame.imagelength // frame.tilelength)
    if columns * rows > _MOST_TILES:
        raise damaged(name, f"it states {columns * rows} tiles in one level")
    plane = make_plane(page)
    listed = min(len(plane.offsets), len(plane.counts))
    missing = columns * rows - listed
    if missing <= 0:
        return plane
    if missing % columns or missing > listed:
        raise damaged(name, f"it lists {listed} of {columns * rows} tiles of one level")
    blank = [0] * missing
    return replace(plane, offsets=plane.offsets[:listed] + blank, counts=plane.counts[:listed] + blank)
