"""QuPath's GeoJSON of regions: annotations with a class and its colour, counted from the corner of the scanned area."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import numpy as np
import shapely

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from napari_wsimil.annotations.classes import Colour
    from napari_wsimil.annotations.regions import Annotations, Region

# Any fixed UUID will do: with it the same region has the same id in every file, and QuPath can replace it.
_NAMESPACE = UUID("0b2c7c53-4f0b-5a1e-8a34-5d7b6c1f9e22")


def geojson_text(annotations: Annotations, colours: Mapping[str, Colour], origin: tuple[float, float]) -> str:
    """A feature collection of all regions, with a class or without; it says itself where the scanned area starts."""
    collection = {
        "type": "FeatureCollection",
        "features": list(_features(annotations, colours, origin)),
        "wsimil": {"provenance": {"slide": {"origin": list(origin)}}},
    }
    return json.dumps(collection, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def _features(annotations: Annotations, colours: Mapping[str, Colour], origin: tuple[float, float]) -> Iterator[dict[str, Any]]:
    seen: Counter[str] = Counter()
    for region in (*annotations.regions, *annotations.unclassed):
        geometry = _geometry(region.shape, origin)
        identity = json.dumps([region.name, geometry])
        seen[identity] += 1
        properties: dict[str, Any] = {"objectType": "annotation"}
        if region.name:
            properties["classification"] = {**_named(region), "color": list(colours[region.name])}
        yield {
            "type": "Feature",
            "id": str(uuid5(_NAMESPACE, f"{identity}{seen[identity]}")),
            "geometry": geometry,
            "properties": properties,
        }


def _named(region: Region) -> dict[str, Any]:
    """The class as QuPath writes it: in steps, where it is part of wider ones."""
    steps = [step.strip() for step in region.name.split(":")]
    wider = tuple(":".join(region.name.split(":")[:count]).strip() for count in range(len(steps) - 1, 0, -1))
    if region.parents != wider:
        steps = [*reversed(region.parents), region.name]
    elif ": ".join(steps) != region.name:
        return {"name": region.name}
    return {"names": steps} if len(steps) > 1 else {"name": steps[0]}


def _geometry(shape: shapely.Geometry, origin: tuple[float, float]) -> dict[str, Any]:
    # from wherever a ring starts and whichever way it runs, the same shape gives the same text, and so the same id
    parts = [_rings(part, origin) for part in shapely.get_parts(shapely.normalize(shape))]
    return {"type": "Polygon", "coordinates": parts[0]} if len(parts) == 1 else {"type": "MultiPolygon", "coordinates": parts}


def _rings(polygon: shapely.Polygon, origin: tuple[float, float]) -> list[list[list[float]]]:
    """The outline and the holes, closed, to a hundredth of a pixel."""
    rings = (polygon.exterior, *polygon.interiors)
    return [np.round(shapely.get_coordinates(ring) - np.asarray(origin, np.float64), 2).tolist() for ring in rings]
