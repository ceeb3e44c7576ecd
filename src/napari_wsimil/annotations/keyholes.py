"""Polygons with holes as one line, for formats and programs that know no holes: a bridge leads to each hole and back.

The bridges run along edges of a triangulation between corners that are there already, so that nothing is added or moved: made
valid, the line is the polygon again.
"""

from __future__ import annotations

from collections import defaultdict
from heapq import heappop, heappush
from itertools import chain
from math import dist
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import shapely

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

Corner: TypeAlias = tuple[int, int]
"""Number of a ring and of a corner in it."""


def outline(polygon: shapely.Polygon) -> NDArray[np.float64]:
    """(n, 2) float64 corners of one line around a polygon and its holes; not closed."""
    if not polygon.interiors:
        return np.asarray(shapely.get_coordinates(polygon.exterior)[:-1])
    # holes must run the other way round, or making the line valid would fill them
    polygon = shapely.orient_polygons(polygon)
    rings = [shapely.get_coordinates(ring)[:-1] for ring in (polygon.exterior, *polygon.interiors)]
    return np.array([rings[ring][corner] for ring, corner in _walk(rings, _bridges(rings, polygon))])


def _bridges(rings: list[NDArray[np.float64]], polygon: shapely.Polygon) -> dict[Corner, list[Corner]]:
    """Corner of a ring -> corners of the holes to go to from there; the shortest such tree, grown from the outer ring."""
    ways = _ways(rings, polygon)
    tree: dict[Corner, list[Corner]] = defaultdict(list)
    reached: set[int] = set()
    waiting = [(0.0, (-1, 0), (0, 0))]
    while waiting:
        _, start, end = heappop(waiting)
        if end[0] in reached:
            continue
        reached.add(end[0])
        tree[start].append(end)
        for way in ways[end[0]]:
            heappush(waiting, way)
    tree.pop((-1, 0))
    return tree


def _ways(rings: list[NDArray[np.float64]], polygon: shapely.Polygon) -> dict[int, list[tuple[float, Corner, Corner]]]:
    """Ring -> (length, corner of it, corner of another one), along edges of triangles or where rings touch."""
    at: dict[tuple[float, float], list[Corner]] = defaultdict(list)
    for number, ring in enumerate(rings):
        for corner, (x, y) in enumerate(ring.tolist()):
            at[x, y].append((number, corner))
    triangles = shapely.get_parts(shapely.constrained_delaunay_triangles(polygon))
    corners = shapely.get_coordinates(triangles).reshape(-1, 4, 2)
    edges = np.stack([corners[:, :3], corners[:, 1:]], axis=2).reshape(-1, 2, 2).tolist()
    touching = [(place, place) for place, found in at.items() if len(found) > 1]
    ways: dict[int, list[tuple[float, Corner, Corner]]] = defaultdict(list)
    for start, end in chain(touching, edges):
        for one in at[tuple(start)]:
            for other in at[tuple(end)]:
                if one[0] != other[0]:
                    length = dist(start, end)
                    ways[one[0]].append((length, one, other))
                    ways[other[0]].append((length, other, one))
    return ways


def _walk(rings: list[NDArray[np.float64]], bridges: dict[Corner, list[Corner]]) -> Iterator[Corner]:
    """All corners in the order of the line; where a bridge starts, its hole comes next, and then that corner again."""
    waiting: list[Iterator[Corner]] = [_around(0, 0, len(rings[0]))]
    while waiting:
        corner = next(waiting[-1], None)
        if corner is None:
            waiting.pop()
            continue
        yield corner
        for hole, start in bridges.pop(corner, ()):
            back: Iterable[Corner] = ((hole, start), corner)
            waiting.append(chain(_around(hole, start, len(rings[hole])), back))


def _around(ring: int, start: int, count: int) -> Iterator[Corner]:
    return ((ring, (start + step) % count) for step in range(count))
