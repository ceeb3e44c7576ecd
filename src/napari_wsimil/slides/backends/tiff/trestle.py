"""Trestle (MedScan): tiles that overlap by a number of pixels stated for each level."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari_wsimil.slides.backends.base import Metadata, UnsupportedError
from napari_wsimil.slides.backends.tiff.layout import Layout
from napari_wsimil.slides.backends.tiff.metadata import icc_profile
from napari_wsimil.slides.backends.tiff.mosaic import Area, Axis, Mosaic, new_native_tiles
from napari_wsimil.slides.backends.tiff.tiled import tiled_plane
from napari_wsimil.slides.backends.tiff.vendor import (
    check_canvas,
    check_descending,
    damaged,
    page_properties,
    small_jpeg,
)

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_wsimil.slides._cache import SlideTiles

_LARGEST_MACRO_FILE = 1 << 26


def is_trestle(page: Any) -> bool:
    """Whether the first page of a TIFF is that of a Trestle slide."""
    return page.software.startswith("MedScan") and bool(page.description) and page.is_tiled


def trestle_layout(path: Path, file: Any) -> Layout:
    """Every page is a level; the macro image is a JPEG beside the file, with the suffix .Full.

    Raises
    ------
    UnsupportedError
        Its tiles overlap by more than half, or its pages are no pyramid.
    SlideError
        It states overlaps that can't be.
    """
    name, pages = path.name, list(file.pages)
    stated = _stated(pages[0].description)
    overlaps = _overlaps(name, stated.get("OverlapsXY", ""))
    overlaps += [(0, 0)] * (len(pages) - len(overlaps))
    kept = new_native_tiles()
    images = [_level(name, page, overlap, kept) for page, overlap in zip(pages, overlaps, strict=False)]
    check_descending(name, images)
    macro = path.with_suffix(".Full")
    associated = {"macro": partial(_read_macro, macro=macro)} if macro.is_file() else {}
    return Layout(list(images), _metadata(stated, pages[0]), associated, kept)


def _stated(description: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in description.split(";") if "=" in part)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _overlaps(name: str, text: str) -> list[tuple[int, int]]:
    numbers = text.split()
    if not all(part.isdecimal() and len(part) < 9 for part in numbers):
        raise damaged(name, f"it states overlaps that are no numbers of pixels ({text[:60]})")
    return list(zip(map(int, numbers[::2]), map(int, numbers[1::2]), strict=False))


def _level(name: str, page: Any, overlap: tuple[int, int], kept: SlideTiles) -> Mosaic:
    plane = tiled_plane(name, page)
    axes = []
    for length, tile, shared in zip((plane.width, plane.height), plane.tile_size, overlap, strict=True):
        if shared >= tile:
            raise damaged(name, f"it states an overlap of {shared} pixels for tiles of {tile}")
        if 2 * shared > tile:
            raise UnsupportedError(f"{name} has tiles that overlap by more than half ({shared} of {tile} pixels).")
        axes.append(Axis(start=0, step=tile - shared, size=tile, count=-(-length // tile), first=0, stored=length))
    width, height = (axis.stored - (axis.count - 1) * (axis.size - int(axis.step)) for axis in axes)
    check_canvas(name, width, height)
    return Mosaic(width, height, [Area(plane, *axes)], kept)


def _metadata(stated: dict[str, str], page: Any) -> Metadata:
    properties = page_properties(page) | {f"trestle.{key}": value for key, value in stated.items()}
    metadata = Metadata("trestle", properties, icc_profile=icc_profile(page))
    power = stated.get("Objective Power", "")
    metadata.objective_power = float(power) if power.isdecimal() else None
    # not pixels per unit, as the tags' name says: Trestle writes µm per pixel here
    x, y = (_fraction(page.tags.valueof(f"{axis}Resolution")) for axis in "XY")
    if x and y:
        metadata.mpp, metadata.mpp_source = (x, y), "vendor"
    return metadata


def _fraction(value: Any) -> float | None:
    numerator, denominator = value if isinstance(value, tuple) and len(value) == 2 else (0, 1)
    return numerator / denominator if denominator else None


def _read_macro(_: Any, macro: Path) -> NDArray[np.uint8]:
    if macro.stat().st_size > _LARGEST_MACRO_FILE:
        raise ValueError(f"{macro.name} is too large for a macro image")
    return small_jpeg(macro.read_bytes())
