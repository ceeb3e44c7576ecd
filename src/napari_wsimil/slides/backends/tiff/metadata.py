"""What TIFF files say of themselves: vendor tags first, then OME, then the resolution of plain TIFF."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from napari_wsimil.slides.backends.base import Metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

_UM_PER_UNIT = {"m": 1e6, "cm": 1e4, "mm": 1e3, "µm": 1.0, "um": 1.0, "nm": 1e-3, "pm": 1e-6, "inch": 25400.0, "in": 25400.0}
_UM_PER_RESOLUTION_UNIT = {2: 25400.0, 3: 10000.0}


def read_metadata(file: Any, series: Any) -> Metadata:
    """Vendor, properties, mpp and power of a tifffile `TiffFile` whose `series` is shown."""
    page = series.levels[0].pages[0].keyframe
    metadata = _by_vendor(file, series, page)
    metadata.icc_profile = icc_profile(page)
    return metadata


def _by_vendor(file: Any, series: Any, page: Any) -> Metadata:
    properties = dict(tiff_properties(page))
    if file.is_ome:
        return _ome(file.ome_metadata or "", series, properties, page)
    return with_resolution(Metadata("generic-tiff", properties), page)


def tiff_properties(page: Any) -> Iterator[tuple[str, str]]:
    """The text tags that every TIFF may have, as (name, value)."""
    names = ("ImageDescription", "Make", "Model", "Software", "DateTime", "XResolution", "YResolution", "ResolutionUnit")
    for name in names:
        tag = page.tags.get(name)
        if tag is not None:
            yield f"tiff.{name}", str(tag.value)


def icc_profile(page: Any) -> bytes | None:
    """The ICC profile of a page (tag 34675), or None."""
    value = page.tags.valueof(34675)
    return bytes(value) if isinstance(value, bytes) and value else None


def _ome(text: str, series: Any, properties: dict[str, str], page: Any) -> Metadata:
    metadata = Metadata("ome", properties)
    root = parse_xml(text)
    if root is None:
        return with_resolution(metadata, page)
    objective = root.find(".//{*}Objective")
    if objective is not None:
        metadata.objective_power = read_number(objective.get("NominalMagnification"))
    for pixels in root.iterfind(".//{*}Pixels"):
        size = pixels.get("SizeX"), pixels.get("SizeY")
        if size != (str(page.imagewidth), str(page.imagelength)):
            continue
        mpp = tuple(
            _length(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm")) for axis in ("X", "Y")
        )
        if mpp[0] and mpp[1]:
            metadata.mpp, metadata.mpp_source = (mpp[0], mpp[1]), "ome"
            return metadata
    return with_resolution(metadata, page)


def has_entities(text: str) -> bool:
    """Whether XML defines entities: a slide from a stranger must not expand to gigabytes."""
    return "<!DOCTYPE" in text or "<!ENTITY" in text


def parse_xml(text: str) -> ET.Element | None:
    """The root, or None for what is no XML or has entities."""
    if has_entities(text):
        return None
    try:
        return ET.fromstring(text)  # noqa: S314 - no entities, see above
    except ET.ParseError:
        return None


def with_resolution(metadata: Metadata, page: Any) -> Metadata:
    """Add the mpp of the plain TIFF resolution, where it is stated with a unit."""
    unit = _UM_PER_RESOLUTION_UNIT.get(int(_tag(page, "ResolutionUnit", 2)))
    x, y = (_ratio(_tag(page, f"{axis}Resolution", None)) for axis in ("X", "Y"))
    if unit and x and y:
        metadata.mpp, metadata.mpp_source = (unit / x, unit / y), "tiff"
    return metadata


def _tag(page: Any, name: str, default: Any) -> Any:
    tag = page.tags.get(name)
    return default if tag is None else tag.value


def _ratio(value: Any) -> float | None:
    """A rational as tifffile gives it, (numerator, denominator)."""
    if value is None:
        return None
    numerator, denominator = value if isinstance(value, tuple) else (value, 1)
    return numerator / denominator if numerator > 0 and denominator > 0 else None


def read_number(value: Any) -> float | None:
    """A positive finite number, or None for what is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _length(value: str | None, unit: str) -> float | None:
    number = read_number(value)
    factor = _UM_PER_UNIT.get(unit)
    return None if number is None or factor is None else number * factor
