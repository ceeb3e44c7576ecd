"""What TIFF files say of themselves: vendor tags first, then OME, then the resolution of plain TIFF."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import tifffile

from napari_wsimil.slides.backends.base import Metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

_UM_PER_UNIT = {"m": 1e6, "cm": 1e4, "mm": 1e3, "µm": 1.0, "um": 1.0, "nm": 1e-3, "pm": 1e-6, "inch": 25400.0, "in": 25400.0}
_UM_PER_RESOLUTION_UNIT = {2: 25400.0, 3: 10000.0}


def read_metadata(file: Any, series: Any) -> Metadata:
    """Vendor, properties, mpp and power of a tifffile `TiffFile` whose `series` is shown."""
    page = series.levels[0].pages[0].keyframe
    properties = dict(_tiff_properties(page))
    if file.is_svs:
        return _aperio(file.pages[0].description, properties, page)
    if file.is_ome:
        return _ome(file.ome_metadata or "", series, properties, page)
    return _with_resolution(Metadata("akoya" if file.is_qpi else "generic-tiff", properties), page)


def _tiff_properties(page: Any) -> Iterator[tuple[str, str]]:
    names = ("ImageDescription", "Make", "Model", "Software", "DateTime", "XResolution", "YResolution", "ResolutionUnit")
    for name in names:
        tag = page.tags.get(name)
        if tag is not None:
            yield f"tiff.{name}", str(tag.value)


def _aperio(description: str, properties: dict[str, str], page: Any) -> Metadata:
    stated = tifffile.tifffile.svs_description_metadata(description)
    properties |= {f"aperio.{key}": str(value) for key, value in stated.items()}
    metadata = Metadata("aperio", properties, objective_power=_number(stated.get("AppMag")))
    mpp = _number(stated.get("MPP"))
    if mpp is None:
        return _with_resolution(metadata, page)
    metadata.mpp, metadata.mpp_source = (mpp, mpp), "vendor"
    return metadata


def _ome(text: str, series: Any, properties: dict[str, str], page: Any) -> Metadata:
    metadata = Metadata("ome", properties)
    root = _parse_xml(text)
    if root is None:
        return _with_resolution(metadata, page)
    objective = root.find(".//{*}Objective")
    if objective is not None:
        metadata.objective_power = _number(objective.get("NominalMagnification"))
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
    return _with_resolution(metadata, page)


def _parse_xml(text: str) -> ET.Element | None:
    """The root, or None for what is no XML. Entities are refused: a slide from a stranger must not expand to gigabytes."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None
    try:
        return ET.fromstring(text)  # noqa: S314 - no entities, see above
    except ET.ParseError:
        return None


def _with_resolution(metadata: Metadata, page: Any) -> Metadata:
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


def _number(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None


def _length(value: str | None, unit: str) -> float | None:
    number = _number(value)
    factor = _UM_PER_UNIT.get(unit)
    return None if number is None or factor is None else number * factor
