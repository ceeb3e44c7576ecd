"""Regions into files that QuPath and ASAP open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_wsimil.annotations.asap_writing import asap_text
from napari_wsimil.annotations.classes import colours_of
from napari_wsimil.annotations.geojson_writing import geojson_text
from napari_wsimil.errors import AnnotationError
from napari_wsimil.files import written_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_wsimil.annotations.classes import Colour
    from napari_wsimil.annotations.regions import Annotations

WRITTEN = {".geojson": "QuPath GeoJSON", ".xml": "ASAP XML"}
"""Suffix -> who reads it."""


def write_annotations(
    annotations: Annotations,
    path: str | Path,
    *,
    origin: tuple[float, float] = (0.0, 0.0),
    colours: Mapping[str, Colour] | None = None,
) -> Path:
    """Write regions as QuPath's GeoJSON or as ASAP's XML, whole or not at all.

    `read_annotations` reads the same regions back, to a hundredth of a pixel. ASAP knows neither holes nor regions of several
    parts: parts become regions of their own, and a bridge of no width leads into each hole.

    Parameters
    ----------
    annotations
        Regions in level-0 pixels of the whole canvas.
    path
        Ends in .geojson or .xml, which chooses the format.
    origin
        (x, y) level-0 pixels of the corner of the scanned area (`Slide.origin`), from which QuPath counts; ASAP does not.
    colours
        Class -> RGB, 0 to 255; classes that are not listed get one by themselves.

    Raises
    ------
    AnnotationError
        There is no such format, or the file can't be written.
    """
    path = Path(path).expanduser()
    told = {**colours_of([name for one in annotations.regions for name in (one.name, *one.parents)]), **(colours or {})}
    if path.suffix.lower() == ".geojson":
        text = geojson_text(annotations, told, (float(origin[0]), float(origin[1])))
    elif path.suffix.lower() == ".xml":
        text = asap_text(annotations, told)
    else:
        known = " or ".join(f"{suffix} for {reader.split()[0]}" for suffix, reader in WRITTEN.items())
        raise AnnotationError(f"Regions can't be written to {path.name}; give it the suffix {known}.")
    try:
        with written_whole(path) as part:
            part.write_bytes(text.encode("utf-8", "replace"))
    except OSError as error:
        raise AnnotationError(f"{path} can't be written ({error.strerror or error}); choose another folder.") from error
    return path
