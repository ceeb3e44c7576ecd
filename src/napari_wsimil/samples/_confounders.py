"""What must not count, planted on a generated slide: violet pen or an area out of focus, over healthy tissue.

The ink is violet because the tissue detector takes green, blue, red and black pen away; patches under it stay in the grid.
Placing draws random numbers of its own: a slide with a confounder is otherwise the slide without it, pixel by pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import shapely

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Plane = NDArray[Any]

ConfounderKind = Literal["pen", "blur"]
CELL = 16  # px per lattice step, as in the layout
SHARE = 0.2
"""Of the tissue, that a confounder covers if there is room for so much."""
_TRIES = 240
_RIM = 4  # lattice steps around a shape until its field is 0
_CLEAR = 64.0  # px between a confounder and a tumour focus
_INK = np.array([80, 35, 165], np.uint16)
"""Red, green and blue of the ink."""
_RADIUS, _PASSES = 4, 3
MARGIN = 16
"""Pixels around a window that blurring looks at, at least `_RADIUS` times `_PASSES`, and a whole lattice step."""


@dataclass(frozen=True)
class Confounder:
    """A planted area.

    Attributes
    ----------
    kind
        "pen" or "blur".
    outline
        (n, 2) float64 level-0 px (x, y).
    field
        (m, m) uint8 on the corners of the 16-px lattice, 128 on the outline, more inside.
    """

    kind: ConfounderKind
    outline: NDArray[np.float64]
    field: NDArray[np.uint8]


def place_confounder(
    kind: ConfounderKind,
    rng: np.random.Generator,
    tissue: NDArray[np.bool_],
    foci: list[NDArray[np.float64]],
    size: int,
) -> Confounder:
    """Find a place on the tissue, clear of all foci where there is one, and of the wanted size as nearly as can be.

    Parameters
    ----------
    tissue
        (m, m) bool on the lattice: where it may lie.
    foci
        Tumour outlines, px.
    size
        Side of the slide, px.
    """
    rows, columns = np.nonzero(tissue)
    wanted = SHARE * len(rows) * CELL**2
    tumour = shapely.union_all([shapely.Polygon(focus).buffer(_CLEAR) for focus in foci])
    least, best = np.inf, shapely.Polygon()
    for _ in range(_TRIES):
        pick = int(rng.integers(len(rows)))
        centre = np.array([columns[pick], rows[pick]], np.float64) * CELL
        shape = _SHAPES[kind](rng, centre, wanted * rng.uniform(0.7, 1.6))
        inside = _covered(shape, tissue)
        cost = abs(inside * CELL**2 / wanted - 1) + 4 * shape.intersection(tumour).area / wanted
        if cost < least:
            least, best = cost, shape
    ring = np.asarray(best.exterior.coords)[:-1]
    return Confounder(kind, np.clip(ring, 0, size), _field(best, size // CELL + 1))


def _stroke(rng: np.random.Generator, centre: NDArray[np.float64], area: float) -> shapely.Polygon:
    """An arc of a broad felt tip."""
    width = 0.42 * area**0.5
    radius = area / width / 2.6
    turn = rng.uniform(0, 2 * np.pi)
    theta = turn + np.linspace(0, 2.6, 60)
    wobble = 1 + 0.06 * np.cos(2 * theta + rng.uniform(0, 6)) + 0.04 * np.cos(3 * theta + rng.uniform(0, 6))
    drawn = centre + (radius * wobble)[:, None] * np.stack([np.cos(theta), np.sin(theta)], axis=1)
    return cast("shapely.Polygon", shapely.LineString(drawn).buffer(width / 2, quad_segs=6))


def _spot(rng: np.random.Generator, centre: NDArray[np.float64], area: float) -> shapely.Polygon:
    """A rounded area, as a bubble or a fold leaves out of focus."""
    theta = np.linspace(0, 2 * np.pi, 91)[:-1]
    wobble = 1 + 0.12 * np.cos(2 * theta + rng.uniform(0, 6)) + 0.08 * np.cos(3 * theta + rng.uniform(0, 6))
    reach = (area / np.pi) ** 0.5 * wobble
    return shapely.Polygon(centre + reach[:, None] * np.stack([np.cos(theta), np.sin(theta)], axis=1))


_SHAPES: dict[str, Callable[[np.random.Generator, NDArray[np.float64], float], shapely.Polygon]] = {
    "pen": _stroke,
    "blur": _spot,
}


def _around(shape: shapely.Polygon, lattice: int) -> tuple[tuple[slice, slice], NDArray[np.float64], NDArray[np.float64]]:
    """The part of the lattice that a shape's surroundings lie in, and the places (y, x) of its corners in px."""
    left, top, right, bottom = (int(value // CELL) for value in shape.bounds)
    rows = slice(max(top - _RIM, 0), min(max(bottom + _RIM, 0), lattice))
    columns = slice(max(left - _RIM, 0), min(max(right + _RIM, 0), lattice))
    y, x = np.mgrid[rows, columns] * float(CELL)
    return (rows, columns), y, x


def _covered(shape: shapely.Polygon, tissue: NDArray[np.bool_]) -> int:
    """How many corners of tissue lie inside."""
    where, y, x = _around(shape, len(tissue))
    return int((shapely.contains_xy(shape, x, y) & tissue[where]).sum())


def _field(shape: shapely.Polygon, lattice: int) -> NDArray[np.uint8]:
    """Signed distance from the outline in px, positive inside, x 3 around 128."""
    field = np.zeros((lattice, lattice), np.uint8)
    where, y, x = _around(shape, lattice)
    distance = shapely.distance(shapely.points(x, y), shape.exterior)
    signed = np.where(shapely.contains_xy(shape, x, y), distance, -distance)
    field[where] = np.clip(np.rint(128 + 3 * signed), 0, 255)
    return field


def inked(pixels: Plane, cover: Plane) -> Plane:
    """Pixels (h, w, 3) uint8 under ink of strength (h, w) uint8, which lets little light through."""
    return mixed(pixels, _INK, cover)


def mixed(under: Plane, over: Plane, weight: Plane) -> Plane:
    """Pixels (h, w, 3) uint8 with so much of others as (h, w) uint8 says; just the same where that is 0."""
    wide = weight.astype(np.uint16)[..., None]
    return ((under * (np.uint16(255) - wide) + over * wide + np.uint16(127)) // 255).astype(np.uint8)


def blurred(pixels: Plane) -> Plane:
    """Pixels out of focus: three means over squares, all in whole numbers."""
    for _ in range(_PASSES):
        pixels = _mean(_mean(pixels, 0), 1)
    return pixels


def _mean(pixels: Plane, axis: int) -> Plane:
    count = 2 * _RADIUS + 1
    around = [(0, 0)] * pixels.ndim
    around[axis] = (_RADIUS + 1, _RADIUS)
    sums = np.cumsum(np.pad(pixels, around, mode="edge"), axis=axis, dtype=np.int64)
    upper, lower = np.take(sums, range(count, sums.shape[axis]), axis), np.take(sums, range(sums.shape[axis] - count), axis)
    return ((upper - lower + count // 2) // count).astype(np.uint8)
