"""QuPath's GeoJSON: a feature collection, a list of features or one; annotations, not the tiles and cells of programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from napari_wsimil.annotations.regions import Annotations, Collected

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AREAS = ("Polygon", "MultiPolygon")


def read_geojson(text: bytes, path: Path) -> tuple[Annotations, tuple[float, float] | None]:
    """Regions of a file, and the corner of the scanned area, which its coordinates start at, where the file itself says so.

    Raises
    ------
    AnnotationError
        It is no GeoJSON, or a polygon is broken.
    """
    found = Collected(path)
    try:
        data = json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise found.fault("is no JSON") from error
    for feature in _features(data, found):
        _add(feature, found)
    return found.done(), _origin(data)


def _features(data: Any, found: Collected) -> Iterator[dict[str, Any]]:
    """All features, those that others hold as children included."""
    if isinstance(data, dict) and data.get("type") == "FeatureCollection":
        data = data.get("features")
    elif isinstance(data, dict) and data.get("type") == "Feature":
        data = [data]
    if not isinstance(data, list):
        raise found.fault("holds no GeoJSON features")
    waiting = list(reversed(data))
    while waiting:
        feature = waiting.pop()
        if not isinstance(feature, dict) or feature.get("type") != "Feature":
            raise found.fault("lists something that is no GeoJSON feature")
        yield feature
        children = feature.get("childObjects")
        waiting += reversed(children) if isinstance(children, list) else ()


def _add(feature: dict[str, Any], found: Collected) -> None:
    properties, geometry = (_object(feature.get(key)) for key in ("properties", "geometry"))
    kind = properties.get("objectType", feature.get("objectType", "annotation"))
    if kind != "annotation":
        found.skip(f"of the kind {str(kind)[:30]!r}")
    elif properties.get("isLocked") and "model" in _object(properties.get("metadata")):
        # our own exports mark what a model attended to so: its answer must not become its teacher
        found.skip("drawn by a model")
    elif geometry.get("type") not in AREAS:
        found.skip("without an area")
    else:
        polygons = geometry.get("coordinates")
        if not isinstance(polygons, list):
            raise found.fault("holds a polygon without coordinates")
        name, parents = _classes(properties.get("classification"))
        found.add(
            name,
            [polygons] if geometry["type"] == "Polygon" else polygons,
            parents,
            ellipse=geometry.get("isEllipse") is True,
        )


def _classes(classification: Any) -> tuple[str, tuple[str, ...]]:
    """The class as QuPath shows it, "Tumour: necrotic", and the wider ones, ("Tumour",)."""
    if isinstance(classification, dict):
        listed = classification.get("names")
        classification = ": ".join(map(str, listed)) if isinstance(listed, list) else classification.get("name")
    name = classification.strip() if isinstance(classification, str) else ""
    steps = name.split(":")
    return name, tuple(":".join(steps[:count]).strip() for count in range(len(steps) - 1, 0, -1))


def _origin(data: Any) -> tuple[float, float] | None:
    """Our own exports say where the scanned area starts."""
    for key in ("wsimil", "provenance", "slide"):
        data = _object(data).get(key)
    match _object(data).get("origin"):
        case [int() | float() as x, int() | float() as y]:
            return float(x), float(y)
    return None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
