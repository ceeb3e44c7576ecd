"""Sets of polygons, and the exact share of each patch that they cover; quick for thousands of polygons and patches.

A set is an array of valid polygons that do not overlap, so that areas add up. Whatever is far apart is never computed with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Shapes: TypeAlias = "NDArray[np.object_]"
"""(n,) polygons."""


class Patches(Protocol):
    """Squares of one size: a `PatchGrid`, or the `PatchScores` of a prediction."""

    @property
    def xy(self) -> NDArray[np.int64]:
        """(N, 2) top-left corners in level-0 pixels."""

    @property
    def size_level0(self) -> float:
        """Side in level-0 pixels."""

    def __len__(self) -> int: ...


_VERTICES = 128
"""Polygons with more are cut into pieces: the time of an intersection grows with the vertices."""


def no_shapes() -> Shapes:
    """The empty set."""
    return np.empty(0, dtype=object)


def merged(shapes: Sequence[shapely.Geometry]) -> Shapes:
    """One set for shapes that may overlap."""
    parts = _polygons(np.array(shapes, dtype=object))
    one, other = shapely.STRtree(parts).query(parts, predicate="intersects")
    links = coo_array((np.ones(len(one), bool), (one, other)), shape=(len(parts), len(parts)))
    _, group = connected_components(links, directed=False)
    order, starts = np.argsort(group, kind="stable"), np.unique(np.sort(group), return_index=True)[1]
    together = [parts[rows] for rows in np.split(order, starts[1:])]
    return _polygons(np.array([rows[0] if len(rows) == 1 else shapely.union_all(rows) for rows in together], dtype=object))


def without(shapes: Shapes, cut: Shapes) -> Shapes:
    """A set less another."""
    if not len(shapes) or not len(cut):
        return shapes
    which, by = shapely.STRtree(cut).query(shapes, predicate="intersects")
    left = shapes.copy()
    for row in np.unique(which):
        left[row] = shapely.difference(shapes[row], shapely.union_all(cut[by[which == row]]))
    return _polygons(left)


class PatchBoxes:
    """The patches of a grid as squares in an index; only those near some shapes.

    Parameters
    ----------
    grid
        Its `xy` and `size_level0` say where patches are.
    near
        All shapes that will be asked for.
    """

    def __init__(self, grid: Patches, near: Shapes) -> None:
        self.count, self.area = len(grid), float(grid.size_level0) ** 2
        xy, size = grid.xy.astype(np.float64), float(grid.size_level0)
        left, top, right, bottom = shapely.total_bounds(near) if len(near) else np.full(4, np.nan)  # near to which no patch is
        self.rows = np.flatnonzero(((xy + size > (left, top)) & (xy < (right, bottom))).all(axis=1))
        x, y = xy[self.rows].T
        self.boxes = shapely.box(x, y, x + size, y + size)
        self.tree = shapely.STRtree(self.boxes)


def covered_shares(shapes: Shapes, patches: PatchBoxes) -> NDArray[np.float64]:
    """(N,) share of each patch's area that a set covers, 0 to 1."""
    shares = np.zeros(patches.count)
    if not len(shapes) or not len(patches.rows):
        return shares
    pieces, rows = _pieces(shapes), patches.rows
    _, inside = patches.tree.query(pieces, predicate="contains")
    shares[rows[inside]] = 1.0
    which, at = patches.tree.query(pieces, predicate="intersects")
    partly = shares[rows[at]] < 1
    which, at = which[partly], at[partly]
    areas = shapely.area(shapely.intersection(pieces[which], patches.boxes[at]))
    np.add.at(shares, rows[at], areas / patches.area)
    return np.minimum(shares, 1.0)


def _polygons(shapes: Shapes) -> Shapes:
    """The polygons with an area of shapes of any kind."""
    parts = shapely.get_parts(shapely.get_parts(shapes))  # twice: a collection may hold a multipolygon
    return parts[shapely.area(parts) > 0]


def _pieces(shapes: Shapes) -> Shapes:
    """The same set as polygons of few vertices: those with many are cut in halves."""
    done: list[Shapes] = []
    waiting = shapes
    while len(waiting):
        large = shapely.get_num_coordinates(waiting) > _VERTICES
        done.append(waiting[~large])
        waiting = _polygons(np.array([half for part in waiting[large] for half in _halves(part)], dtype=object))
    pieces = np.concatenate(done)
    # cutting along a box is quick and known to leave shapes that touch themselves
    return _polygons(shapely.make_valid(pieces, method="structure", keep_collapsed=False))


def _halves(polygon: shapely.Polygon) -> tuple[shapely.Geometry, shapely.Geometry]:
    """A polygon cut across its longer side."""
    left, top, right, bottom = polygon.bounds
    if right - left >= bottom - top:
        across = (left + right) / 2
        return shapely.clip_by_rect(polygon, left, top, across, bottom), shapely.clip_by_rect(
            polygon, across, top, right, bottom
        )
    down = (top + bottom) / 2
    return shapely.clip_by_rect(polygon, left, top, right, down), shapely.clip_by_rect(polygon, left, down, right, bottom)
