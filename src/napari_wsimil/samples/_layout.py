"""Where everything lies on a generated slide: pieces of tissue, their zones, the tumour foci, every gland and cell.

Drawn once per slide from its seed on a lattice of 16 px, before a single pixel is painted; any window can then be painted by
itself. Positions are level-0 pixels (x, y).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import ndimage
from skimage.draw import polygon2mask

from napari_wsimil.samples import _stamps as stamps
from napari_wsimil.samples._confounders import Confounder, place_confounder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.samples._confounders import ConfounderKind

Kind = Literal["tumour", "normal"]
CELL = 16  # px per lattice step
NEST_BORDER = 104  # of the nest texture: below it a tumour is stroma
MPP = 0.5


@dataclass(frozen=True)
class Layout:
    """A slide before it is painted.

    Attributes
    ----------
    size
        Side of the square slide in px.
    fields
        name -> (n + 1, n + 1) uint8 on the corners of the 16-px lattice: tissue, fat, muscle, mucosa, lymph, tumour, necrosis,
        warp_x, warp_y. 128 is the border of a zone.
    foci
        Tumour outlines, each (n, 2) float64 px (x, y).
    glands
        (N, 5) int64: x, y, shape, turn (0 to 7), kind (0 gland, 1 crowded gland, 2 vessel, 3 tumour opening).
    cells
        (N, 4) int64: x, y, kind, stamp; painted in this order.
    stain
        Hematoxylin and eosin strengths, glass brightness, and shifts of the two hues: what differs between laboratories.
    confounder
        What was planted on it, or None.
    """

    kind: Kind
    seed: int
    size: int
    fields: dict[str, NDArray[np.uint8]]
    foci: list[NDArray[np.float64]]
    glands: NDArray[np.int64]
    cells: NDArray[np.int64]
    stain: NDArray[np.float64]
    confounder: Confounder | None = None


def make_layout(kind: Kind = "tumour", seed: int = 0, size: int = 16384, confounder: ConfounderKind | None = None) -> Layout:
    """Lay out a slide of `size` x `size` px at 0.5 µm per pixel; the same seed gives the same slide."""
    if size % 1024 or size < 2048:
        raise ValueError(f"size {size} is not a multiple of 1024 px of at least 2048")
    rng = np.random.default_rng([seed, size, 1 if kind == "tumour" else 0])
    stain = np.clip(rng.normal(0, 1, 7), -2, 2)
    lattice = size // CELL + 1
    zones = _zones(rng, lattice, size)
    foci = _foci(rng, zones, size) if kind == "tumour" else []
    _add_tumour(rng, zones, foci, lattice)
    placed = _place_glands(rng, zones, size)
    cells = _place_cells(rng, zones, placed, size)
    fields = {name: np.clip(np.rint(field), 0, 255).astype(np.uint8) for name, field in zones.items()}
    planted = None
    if confounder is not None:
        own = np.random.default_rng([seed, size, 1 if kind == "tumour" else 0, 8])
        planted = place_confounder(confounder, own, (fields["tissue"] > 128) & (fields["fat"] < 128), foci, size)
    return Layout(kind, seed, size, fields, foci, placed, cells, stain, planted)


def _noise(rng: np.random.Generator, lattice: int, wavelength: float) -> NDArray[np.float64]:
    """Smooth noise of mean 0 and deviation about 1; wavelength in px."""
    coarse = max(4, round(lattice * CELL / wavelength) + 3)
    field = ndimage.zoom(rng.standard_normal((coarse, coarse)), lattice / (coarse - 3), order=3, mode="nearest")
    start = int(lattice / (coarse - 3))
    return np.asarray(field[start : start + lattice, start : start + lattice]) * 1.4


def _blob(
    rng: np.random.Generator, centre: tuple[float, float], radius: float, aspect: float, rough: float
) -> NDArray[np.float64]:
    """A closed irregular outline, (n, 2) px."""
    theta = np.linspace(0, 2 * np.pi, 181)[:-1]
    shape = np.ones_like(theta)
    for wave in range(2, 12):
        shape += rough * rng.normal() / wave**0.9 * np.cos(wave * theta + rng.uniform(0, 2 * np.pi))
    shape = np.clip(shape, 0.45, 1.7) * radius
    turn = rng.uniform(0, np.pi)
    x, y = shape * np.cos(theta) * np.sqrt(aspect), shape * np.sin(theta) / np.sqrt(aspect)
    return np.stack([centre[0] + x * np.cos(turn) - y * np.sin(turn), centre[1] + x * np.sin(turn) + y * np.cos(turn)], axis=1)


def _inside(outline: NDArray[np.float64], lattice: int) -> NDArray[np.float64]:
    """Signed distance on the lattice in px, positive inside."""
    mask = polygon2mask((lattice, lattice), outline[:, ::-1] / CELL)
    if not mask.any():
        return np.full((lattice, lattice), -1e3)
    return np.asarray(ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)) * CELL


def _zones(rng: np.random.Generator, lattice: int, size: int) -> dict[str, NDArray[np.float64]]:
    distance = np.full((lattice, lattice), -1e4)
    depth = np.zeros((lattice, lattice))
    y, x = np.mgrid[0:lattice, 0:lattice] * float(CELL)
    for outline, centre, radius in _pieces(rng, size):
        inside = _inside(outline, lattice)
        turn = rng.uniform(0, 2 * np.pi)
        along = ((x - centre[0]) * np.cos(turn) + (y - centre[1]) * np.sin(turn)) / radius
        depth = np.where(inside > distance, along, depth)
        distance = np.maximum(distance, inside)
    ragged = distance + 26 * _noise(rng, lattice, 420) + 12 * _noise(rng, lattice, 130)
    depth = depth + 0.22 * _noise(rng, lattice, 1500) + 0.08 * _noise(rng, lattice, 400)
    lymph = _aggregates(rng, ragged, depth, lattice, size)
    return {
        "tissue": 128 + ragged * 1.5,
        "fat": 128 + (-0.62 - depth) * 900,
        "muscle": 128 + np.minimum(-0.22 - depth, depth + 0.58) * 900,
        "mucosa": 128 + np.minimum(depth + 0.12, (ragged - 40) / 500) * 700,
        "lymph": lymph,
        "tumour": np.zeros((lattice, lattice)),
        "necrosis": np.zeros((lattice, lattice)),
        "warp_x": 128 + 45 * _noise(rng, lattice, 1100),
        "warp_y": 128 + 45 * _noise(rng, lattice, 1100),
    }


def _pieces(rng: np.random.Generator, size: int) -> list[tuple[NDArray[np.float64], tuple[float, float], float]]:
    """Outlines of a few pieces of tissue that do not touch."""
    wanted = 4 if size >= 12288 else 2
    pieces: list[tuple[NDArray[np.float64], tuple[float, float], float]] = []
    for attempt in range(400):
        shrink = 1 - 0.5 * attempt / 400
        radius = size * (0.21 if wanted == 4 else 0.26) * rng.uniform(0.75, 1.12) * shrink
        centre = (float(rng.uniform(0.16, 0.84) * size), float(rng.uniform(0.16, 0.84) * size))
        outline = _blob(rng, centre, radius, rng.uniform(1.0, 1.9), 0.16)
        reach = float(np.abs(outline - centre).max())
        if outline.min() < 0.03 * size or outline.max() > 0.97 * size:
            continue
        if any(np.hypot(*(np.array(centre) - other)) < 0.86 * (reach + far) + 0.02 * size for _, other, far in pieces):
            continue
        pieces.append((outline, centre, reach))
        if len(pieces) == wanted:
            break
    return pieces


def _aggregates(
    rng: np.random.Generator, ragged: NDArray[np.float64], depth: NDArray[np.float64], lattice: int, size: int
) -> NDArray[np.float64]:
    """Lymphoid aggregates under the mucosa: dark and crowded at a low magnification, and no tumour."""
    field = np.full((lattice, lattice), -1e3)
    rows, columns = np.nonzero((ragged > 350) & (np.abs(depth + 0.05) < 0.25))
    y, x = np.mgrid[0:lattice, 0:lattice] * float(CELL)
    count = round(rng.uniform(3, 7) * (size / 8192) ** 1.5)
    for pick in rng.integers(0, max(len(rows), 1), count if len(rows) else 0):
        radius = rng.uniform(130, 330)
        distance = radius - np.hypot((x - columns[pick] * CELL) * rng.uniform(0.7, 1), y - rows[pick] * CELL)
        field = np.maximum(field, distance)
    return 128 + (field + 22 * _noise(rng, lattice, 200)) * 1.2


def _foci(rng: np.random.Generator, zones: dict[str, NDArray[np.float64]], size: int) -> list[NDArray[np.float64]]:
    """One to five tumour foci of different sizes, inside the tissue and outside the fat."""
    room = ndimage.distance_transform_edt((zones["tissue"] > 128) & (zones["fat"] < 128)) * CELL
    largest = min(1900.0, 0.13 * size)
    radii = [rng.uniform(0.55, 1.0) * largest]
    least = min(300.0, 0.6 * largest)
    radii += [
        float(np.exp(rng.uniform(np.log(least), np.log(largest)))) for _ in range(rng.integers(0, 3 if size < 12288 else 5))
    ]
    foci: list[NDArray[np.float64]] = []
    for radius in sorted(radii, reverse=True):
        outline = _focus(rng, np.asarray(room), radius)
        if outline is not None:
            room = np.minimum(room, np.maximum(0, -_inside(outline, room.shape[0]) - 150))
            foci.append(outline)
    return foci


def _focus(rng: np.random.Generator, room: NDArray[np.float64], radius: float) -> NDArray[np.float64] | None:
    """An outline where it fits: smaller where the tissue leaves no room, None where there is none at all."""
    smallest = 260 if room.shape[0] * CELL > 4096 else 110
    while radius > smallest:
        rows, columns = np.nonzero(room > radius * 0.95)
        if len(rows):
            pick = int(rng.integers(len(rows)))
            return _blob(rng, (columns[pick] * CELL, rows[pick] * CELL), radius * 0.8, rng.uniform(1, 1.45), 0.17)
        radius *= 0.85
    return None


def _add_tumour(
    rng: np.random.Generator, zones: dict[str, NDArray[np.float64]], foci: list[NDArray[np.float64]], lattice: int
) -> None:
    """Put the foci into the zones: glands, muscle and lymphocytes give way."""
    ragged, ache = 10 * _noise(rng, lattice, 120), _noise(rng, lattice, 500)
    distance = np.full((lattice, lattice), -1e3)
    for outline in foci:
        distance = np.maximum(distance, _inside(outline, lattice))
    zones["tumour"] = 128 + (distance + ragged) * 2.2
    zones["necrosis"] = 128 + np.minimum(distance - 280, (ache - 0.6) * 300) * 1.2
    for name in ("mucosa", "muscle", "lymph", "fat"):
        zones[name] = np.minimum(zones[name], 128 - (distance + 20) * 1.2)


def _at(field: NDArray[np.float64], x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(field[np.clip(y // CELL, 0, field.shape[0] - 1), np.clip(x // CELL, 0, field.shape[1] - 1)])


def _lattice(rng: np.random.Generator, size: int, spacing: float, jitter: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Points of a jittered triangular lattice."""
    rows = np.arange(spacing / 2, size, spacing * 0.866)
    columns = np.arange(spacing / 2, size, spacing)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    x = x + (np.arange(len(rows)) % 2)[:, None] * spacing / 2
    x = x + rng.uniform(-jitter, jitter, x.shape) * spacing
    y = y + rng.uniform(-jitter, jitter, y.shape) * spacing
    inside = (x >= 0) & (x < size) & (y >= 0) & (y < size)
    return x[inside].astype(np.int64), y[inside].astype(np.int64)


def _place_glands(rng: np.random.Generator, zones: dict[str, NDArray[np.float64]], size: int) -> NDArray[np.int64]:
    groups = []
    for kind, spacing, jitter in ((0, 176.0, 0.05), (2, 460.0, 0.35), (3, 150.0, 0.3)):
        x, y = _lattice(rng, size, spacing, jitter)
        chance = rng.uniform(0, 1, len(x))
        if kind == 0:
            keep = (_at(zones["mucosa"], x, y) > 160) & (_at(zones["lymph"], x, y) < 110) & (chance < 0.95)
        elif kind == 2:
            free = (_at(zones["mucosa"], x, y) < 90) & (_at(zones["lymph"], x, y) < 110) & (_at(zones["tumour"], x, y) < 60)
            keep = free & (_at(zones["fat"], x, y) < 100) & (chance < 0.35)
        else:
            keep = (_at(zones["tumour"], x, y) > 190) & (_at(zones["necrosis"], x, y) < 110) & (chance < 0.2)
        keep &= _at(zones["tissue"], x, y) > 175
        x, y = x[keep], y[keep]
        shape, turn = rng.integers(0, stamps.SHAPES, len(x)), rng.integers(0, 8, len(x))
        # Regenerating glands are dark and crowded without being tumour: what a model must not fall for.
        crowded = (kind == 0) & (_at(zones["warp_x"], x, y) > 195)
        groups.append(np.stack([x, y, shape, turn, np.where(crowded, 1, kind)], axis=1))
    return np.concatenate(groups).astype(np.int64)


def _stamp(rng: np.random.Generator, angle: NDArray[np.float64]) -> NDArray[np.int64]:
    """Stamp numbers for cells whose long axis points along `angle` (radians)."""
    turn = np.rint(angle / np.pi * stamps.ORIENTATIONS).astype(np.int64) % stamps.ORIENTATIONS
    return np.asarray(turn * stamps.VARIANTS + rng.integers(0, stamps.VARIANTS, len(turn)))


def _place_cells(
    rng: np.random.Generator, zones: dict[str, NDArray[np.float64]], placed: NDArray[np.int64], size: int
) -> NDArray[np.int64]:
    free = np.minimum(zones["tissue"] - 40, 255)
    taken = _gland_mask(placed, size)
    groups = [_gland_cells(rng, placed)]

    def scatter(
        kind: int,
        spacing: float,
        jitter: float,
        where: NDArray[np.float64],
        share: float,
        *,
        calm: bool = False,
        nested: bool = False,
    ) -> None:
        x, y = _lattice(rng, size, spacing, jitter)
        keep = (_at(where, x, y) > 128) & (_at(free, x, y) > 128) & (rng.uniform(0, 1, len(x)) < share)
        keep &= ~taken[y // 8, x // 8]
        if nested:
            keep &= nest_at(zones, x, y) > NEST_BORDER
        x, y = x[keep], y[keep]
        spread = 0.25 if calm else np.pi
        angle = rng.normal(0, spread, len(x)) + np.where(_at(zones["muscle"], x, y) > 128, np.pi / 2, 0)
        groups.append(np.stack([x, y, np.full(len(x), kind), _stamp(rng, angle)], axis=1))

    solid = np.minimum(255 - np.maximum(zones["fat"], zones["tumour"]), 255)
    scatter(stamps.SPINDLE, 52, 0.45, np.minimum(solid, 255 - zones["lymph"]), 0.8, calm=True)
    scatter(stamps.LYMPHOCYTE, 30, 0.5, np.minimum(solid, zones["mucosa"]), 0.5)
    scatter(stamps.LYMPHOCYTE, 200, 0.5, solid, 0.6)
    inflamed = np.minimum(np.minimum(solid, zones["mucosa"]), 128 + (zones["warp_y"] - 165) * 3)
    scatter(stamps.LYMPHOCYTE, 15, 0.35, inflamed, 0.7)  # dark at a low magnification, and benign
    scatter(stamps.LYMPHOCYTE, 13.5, 0.3, zones["lymph"], 0.93)
    viable = np.minimum(zones["tumour"], 255 - zones["necrosis"])
    scatter(stamps.TUMOUR, 27, 0.32, viable, 0.92, nested=True)
    scatter(stamps.SPINDLE, 44, 0.45, viable, 0.5)
    scatter(stamps.MITOSIS, 230, 0.5, viable, 0.7)
    scatter(stamps.LYMPHOCYTE, 75, 0.5, zones["tumour"], 0.35)
    scatter(stamps.LYMPHOCYTE, 40, 0.5, zones["necrosis"], 0.4)
    return np.concatenate(groups).astype(np.int64)


def nest_at(zones: dict[str, NDArray[np.float64]], x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The nest texture at points, bent as the painter bends it: tumour cells lie in nests, strands of stroma between them."""
    where = np.stack([y, x]) / CELL
    along = x + 2 * ndimage.map_coordinates(zones["warp_x"], where, order=1, mode="nearest")
    across = y + 4 * ndimage.map_coordinates(zones["warp_y"], where, order=1, mode="nearest")
    nest = stamps.textures()["nest"]
    return np.asarray(nest[along.astype(np.int64) % stamps.PERIOD, across.astype(np.int64) % stamps.PERIOD])


def _gland_mask(placed: NDArray[np.int64], size: int) -> NDArray[np.bool_]:
    """Where glands and vessels lie, at 8 px: free cells keep off."""
    mask = np.zeros((size // 8 + 1, size // 8 + 1), bool)
    shapes = stamps.glands()
    y, x = np.mgrid[-14:15, -14:15]
    for gx, gy, shape, _, kind in placed.tolist():
        radius = shapes[shape].radius * _SCALE[kind] / 8
        near = x * x + y * y <= (radius * 1.08) ** 2
        r, c = gy // 8 + y[near], gx // 8 + x[near]
        good = (r >= 0) & (c >= 0) & (r < mask.shape[0]) & (c < mask.shape[1])
        mask[r[good], c[good]] = True
    return mask


_SCALE = {0: 1.0, 1: 1.0, 2: 0.5, 3: 0.33}


def _gland_cells(rng: np.random.Generator, placed: NDArray[np.int64]) -> NDArray[np.int64]:
    """Goblet vacuoles, then a ring of basal nuclei for each gland; endothelium and red cells for each vessel."""
    shapes = stamps.glands()
    rows: list[NDArray[np.int64]] = [np.zeros((0, 4), np.int64)]

    def ring(gx: int, gy: int, shape: stamps.GlandShape, turn: int, at: float, step: float, kind: int, jitter: float) -> None:
        count = max(6, int(2 * np.pi * shape.radius * at / step))
        theta = (np.arange(count) + rng.uniform(-0.3, 0.3, count)) * 2 * np.pi / count
        radius = shape.border(theta) * (at + rng.normal(0, jitter, count))
        x, y = radius * np.cos(theta), radius * np.sin(theta)
        angle = theta
        if turn & 4:  # the same turns and flip as the painter's
            x, angle = -x, np.pi - angle
        for _ in range(turn & 3):
            x, y, angle = y, -x, angle - np.pi / 2
        along = angle if kind != stamps.SPINDLE else angle + np.pi / 2
        cells = np.stack([gx + x, gy + y, np.full(count, kind), _stamp(rng, along)], axis=1)
        rows.append(np.rint(cells).astype(np.int64))

    for gx, gy, number, turn, kind in placed.tolist():
        shape = shapes[number]
        if kind == 0:
            ring(gx, gy, shape, turn, 0.62, 19.0, stamps.GOBLET, 0.05)
            ring(gx, gy, shape, turn, 0.875, 10.5, stamps.EPITHELIUM, 0.018)
        elif kind == 1:
            ring(gx, gy, shape, turn, 0.7, 10.0, stamps.EPITHELIUM, 0.06)
            ring(gx, gy, shape, turn, 0.87, 8.5, stamps.EPITHELIUM, 0.03)
        elif kind == 2:
            ring(gx, gy, shape, turn, 0.47, 26.0, stamps.SPINDLE, 0.01)
            if number % 2:
                for at in (0.08, 0.2, 0.33):
                    ring(gx, gy, shape, turn, at, 13.0, stamps.RED_CELL, 0.03)
    return np.concatenate(rows)
