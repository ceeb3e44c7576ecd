"""QPTIFF of PerkinElmer and Akoya scanners, brightfield only: each page says in XML what it is."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari_wsimil.errors import SlideError
from napari_wsimil.slides.backends.base import Metadata, UnsupportedError
from napari_wsimil.slides.backends.tiff.generic import check_pixels, checked_plane, levels_among, read_page
from napari_wsimil.slides.backends.tiff.layout import Layout
from napari_wsimil.slides.backends.tiff.metadata import icc_profile, parse_xml, read_number, tiff_properties, with_resolution

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree import ElementTree as ET

_ASSOCIATED = {"Thumbnail": "thumbnail", "Overview": "macro", "Label": "label"}
_LEVELS = ("FullResolution", "ReducedResolution")
_POWER = ("ScanProfile//Magnification", "Objective", "ScanProfile//ObjectiveName")


def qptiff_layout(path: Path, file: Any) -> Layout:
    """The brightfield pyramid, thumbnail, overview (as "macro") and label.

    Raises
    ------
    SlideError
        Fluorescence: a page for each channel.
    UnsupportedError
        No page of it is a level, or one is compressed in a way that is not read here.
    """
    levels, associated = [], {}
    for index, page in enumerate(file.pages):
        about = _about(page)
        kind = _text(about, "ImageType")
        if kind in _LEVELS:
            levels.append(page)
        elif kind in _ASSOCIATED:
            associated[_ASSOCIATED[kind]] = partial(read_page, index=index)
    if not levels:
        raise UnsupportedError(f"{path.name} is a QPTIFF file of which no page says that it holds the slide.")
    first = levels[0]
    if first.samplesperpixel == 1:
        # final: OpenSlide would show one channel in grey
        raise SlideError(f"{path.name} is a fluorescence QPTIFF: only brightfield RGB slides can be opened.")
    images = []
    for page in levels_among(first, levels[1:]):
        check_pixels(path.name, page)
        images.append(checked_plane(path.name, page))
    return Layout(images, _metadata(first), associated)


def _about(page: Any) -> ET.Element | None:
    """The description of a page, which some scanners write in UTF-16."""
    value = page.tags.valueof(270)
    if isinstance(value, bytes):
        value = value.decode("utf-16" if value[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "replace")
    return parse_xml(value.strip("\ufeff\0 \r\n")) if isinstance(value, str) else None


def _text(about: ET.Element | None, path: str) -> str:
    return "" if about is None else str(about.findtext(path) or "").strip()


def _metadata(page: Any) -> Metadata:
    about = _about(page)
    properties = {key: value for key, value in tiff_properties(page) if key != "tiff.ImageDescription"}
    for part in () if about is None else about:
        text = (part.text or "").strip()
        if text:
            properties[f"akoya.{part.tag}"] = text
    metadata = Metadata("akoya", properties, icc_profile=icc_profile(page))
    powers = (read_number(_text(about, place).lower().rstrip("x")) for place in _POWER)
    metadata.objective_power = next((power for power in powers if power), None)
    mpp = read_number(_text(about, "ScanProfile//PixelSizeMicrons"))
    if mpp:
        metadata.mpp, metadata.mpp_source = (mpp, mpp), "vendor"
        return metadata
    metadata = with_resolution(metadata, page)
    if metadata.mpp is not None:
        metadata.mpp_source = "vendor"
    return metadata
