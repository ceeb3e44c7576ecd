"""Philips TIFF: levels padded to whole tiles, whose true sizes follow from the pixel spacings in the XML."""

from __future__ import annotations

import base64
import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_wsimil.slides.backends.base import LONGEST_SIDE, Metadata, UnsupportedError
from napari_wsimil.slides.backends.tiff.generic import read_page
from napari_wsimil.slides.backends.tiff.layout import Layout
from napari_wsimil.slides.backends.tiff.metadata import icc_profile
from napari_wsimil.slides.backends.tiff.tiled import tiled_plane
from napari_wsimil.slides.backends.tiff.vendor import (
    check_descending,
    damaged,
    page_properties,
    read_xml,
    small_jpeg,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from xml.etree import ElementTree as ET

    import numpy as np
    from numpy.typing import NDArray

    from napari_wsimil.slides.backends.tiff.planes import Plane

_IMAGES = "Attribute[@Name='PIM_DP_SCANNED_IMAGES']/Array/DataObject"
_TYPE = "Attribute[@Name='PIM_DP_IMAGE_TYPE']"
_LEVELS = "PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE"
_SPACING = "DICOM_PIXEL_SPACING"
_ASSOCIATED = {"label": ("Label", "LABELIMAGE"), "macro": ("Macro", "MACROIMAGE")}
"""Name -> how the description of its page begins, and its type in the XML."""


def is_philips(page: Any) -> bool:
    """Whether the first page of a TIFF is that of a Philips slide."""
    return bool(page.is_philips) or (page.software.startswith("Philips") and "DPUfsImport" in page.description)


def philips_layout(path: Path, file: Any) -> Layout:
    """The tiled pages, cut to their true sizes; label and macro from their pages or out of the XML.

    Raises
    ------
    UnsupportedError
        It holds several slides, or levels that the XML does not tell of.
    SlideError
        Its XML can't be read or states what can't be.
    """
    name = path.name
    root = read_xml(name, file.pages[0].description)
    slides = [image for image in root.iterfind(_IMAGES) if image.findtext(_TYPE) == "WSI"]
    if len(slides) != 1:
        raise UnsupportedError(f"{name} holds {len(slides)} whole-slide images in its description, not one.")
    pages = [page for page in file.pages if page.is_tiled]
    planes = [tiled_plane(name, page) for page in pages]
    check_descending(name, planes)
    images = list(_true_sizes(name, planes, slides[0]))
    return Layout(images, _metadata(root, slides[0], pages[0]), dict(_associated(file, root)))


def _true_sizes(name: str, planes: list[Plane], slide: ET.Element) -> Iterator[Plane]:
    path = f"Attribute[@Name='{_LEVELS}']/Array/DataObject[@ObjectType='PixelDataRepresentation']/Attribute[@Name='{_SPACING}']"
    spacings = [_spacing(element.text or "") for element in slide.iterfind(path)]
    if len(spacings) != len(planes):
        raise UnsupportedError(f"{name} holds {len(planes)} levels, but its description tells of {len(spacings)}.")
    first = spacings[0]
    for plane, spacing in zip(planes, spacings, strict=True):
        if first is None or spacing is None:
            raise damaged(name, "its description states a pixel spacing that is no two numbers")
        # scanners shrink by whole numbers; the spacings are rounded
        shrunk = (spacing[0] / first[0] + spacing[1] / first[1]) / 2
        ratio = round(shrunk) if 0.5 < shrunk < LONGEST_SIDE else LONGEST_SIDE
        width, height = planes[0].width // ratio, planes[0].height // ratio
        if min(width, height) < 1:
            raise damaged(name, f"its description states a level that is smaller by {shrunk:.6g}")
        if width > plane.width or height > plane.height:
            raise UnsupportedError(
                f"{name} holds a level of {plane.width} x {plane.height} pixels where its description says {width} x {height}."
            )
        yield replace(plane, width=width, height=height)


def _spacing(text: str) -> tuple[float, float] | None:
    """(x, y) in mm out of '"row spacing" "column spacing"'; None where these are no two positive numbers."""
    try:
        y, x = (float(part.strip('"')) for part in text.split())
    except ValueError:
        return None
    return (x, y) if all(math.isfinite(value) and value > 0 for value in (x, y)) else None


def _metadata(root: ET.Element, slide: ET.Element, page: Any) -> Metadata:
    stated = dict(_properties(root)) | dict(_properties(slide))
    for index, level in enumerate(slide.iterfind(f"Attribute[@Name='{_LEVELS}']/Array/DataObject")):
        stated |= {f"{_LEVELS}[{index}].{key}": value for key, value in _properties(level)}
    properties = page_properties(page) | {f"philips.{key}": value for key, value in stated.items()}
    metadata = Metadata("philips", properties, icc_profile=icc_profile(page))
    spacing = _spacing(stated.get(_SPACING, "")) or _spacing(stated.get(f"{_LEVELS}[0].{_SPACING}", ""))
    if spacing is not None:
        metadata.mpp, metadata.mpp_source = (1e3 * spacing[0], 1e3 * spacing[1]), "vendor"
    metadata.objective_power = _power(stated.get("DICOM_DERIVATION_DESCRIPTION", ""))
    return metadata


def _properties(element: ET.Element) -> Iterator[tuple[str, str]]:
    for attribute in element.iterfind("Attribute"):
        if attribute.get("Name") and not len(attribute):
            yield attribute.get("Name", ""), attribute.text or ""


def _power(derivation: str) -> float | None:
    """The objective out of 'tiff-useBigTIFF=1-...-levels=40,...'; some files have another number (10000 ...) there."""
    for part in derivation.split("-"):
        key, _, value = part.partition("=")
        if key == "sourceFilename":
            return None
        first = value.split(",")[0]
        if key == "levels":
            return float(first) if first.isdecimal() and 0 < int(first) <= 200 else None
    return None


def _associated(file: Any, root: ET.Element) -> Iterator[tuple[str, Callable[[Any], NDArray[np.uint8]]]]:
    for name, (begin, kind) in _ASSOCIATED.items():
        pages = [i for i, page in enumerate(file.pages) if not page.is_tiled and page.description.startswith(begin)]
        if pages:
            yield name, partial(read_page, index=pages[-1])
        elif _picture(root, kind):
            yield name, partial(_read_picture, kind=kind)


def _picture(root: ET.Element, kind: str) -> str:
    """An image in the XML as base64; empty where there is none."""
    found = (image for image in root.iterfind(_IMAGES) if image.findtext(_TYPE) == kind)
    return next((image.findtext("Attribute[@Name='PIM_DP_IMAGE_DATA']") or "" for image in found), "")


def _read_picture(file: Any, kind: str) -> NDArray[np.uint8]:
    return small_jpeg(base64.b64decode(_picture(read_xml(file.filename, file.pages[0].description), kind)))
