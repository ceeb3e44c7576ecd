"""Outlines as text (WKT), for a command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import shapely

from napari_wsimil.errors import AnnotationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    Outlines = Sequence[Sequence[tuple[float, float]]]


def outlines_as_wkt(outlines: Outlines) -> str:
    """Outlines of (x, y) as one POLYGON or MULTIPOLYGON, the numbers as they are."""
    polygons = [shapely.Polygon(line) for line in outlines]
    return str(shapely.to_wkt(polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons), rounding_precision=-1))


def outlines_from_wkt(text: str) -> tuple[tuple[tuple[float, float], ...], ...]:
    """What `outlines_as_wkt` wrote, perhaps written by hand.

    Raises
    ------
    AnnotationError
        It can't be read, is empty, or has holes, which outlines don't have.
    """
    usage = 'write them as in "POLYGON ((0 0, 900 0, 900 700, 0 0))", in pixels of the finest level'
    try:
        found = shapely.from_wkt(text)
    except shapely.errors.ShapelyError as error:
        raise AnnotationError(f"The outlines can't be read ({error}); {usage}.") from error
    polygons = [polygon for polygon in shapely.get_parts(found) if not polygon.is_empty]
    if not polygons:
        raise AnnotationError(f"The outlines are empty; {usage}.")
    if any(polygon.interiors for polygon in polygons):
        raise AnnotationError("Outlines have no holes; put regions with holes into an annotation file, and give that.")
    return tuple(tuple((float(x), float(y)) for x, y in polygon.exterior.coords[:-1]) for polygon in polygons)
