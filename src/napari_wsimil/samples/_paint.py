"""Paint a window of a generated slide: two stains as optical densities, then light through both (Beer-Lambert).

Everything per pixel is integer arithmetic on uint8 and uint16 and table look-ups, so that the pixels are the same on every
machine.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wsimil.samples import _stamps as stamps
from napari_wsimil.samples._confounders import MARGIN, blurred, inked, mixed
from napari_wsimil.samples._layout import CELL, NEST_BORDER

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.samples._layout import Layout

    Plane = NDArray[Any]  # uint8; numpy's stubs take `uint8 >> int` for a signed integer

HEMATOXYLIN = np.array([0.56, 0.74, 0.36])
EOSIN = np.array([0.13, 0.64, 0.36])


class Painter:
    """Paints windows of one slide; safe to call from several threads."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._light = _light(layout)
        self._reach = np.array([stamp[0].shape[0] // 2 + 14 for stamp in stamps.cells()])

    def blank(self, x: int, y: int, width: int, height: int) -> bool:
        """Whether the window shows glass only (then it need not be painted)."""
        rows = slice(y // CELL, (y + height) // CELL + 1)
        columns = slice(x // CELL, (x + width) // CELL + 1)
        return bool((self.layout.fields["tissue"][rows, columns] < 60).all())

    def paint(self, x: int, y: int, width: int, height: int) -> Plane:
        """The (height, width, 3) uint8 pixels of a window; all four numbers are multiples of 16."""
        planted = self.layout.confounder
        if planted is None:
            return self._section(x, y, width, height)
        inside = _spread(planted.field, x, y, width, height)
        if not inside.any():
            return self._section(x, y, width, height)
        if planted.kind == "pen":
            uneven = np.uint8(255) - (_tile(stamps.textures()["cloud"], x, y, width, height) >> 2)
            return inked(self._section(x, y, width, height), _scale(_sharp(inside, 4), uneven))
        return self._out_of_focus(_sharp(inside, 3), x, y)

    def _out_of_focus(self, inside: Plane, x: int, y: int) -> Plane:
        """A window blurred where `inside` (height, width) says so; what lies around it is looked at, too."""
        height, width = inside.shape
        left, top = min(MARGIN, x), min(MARGIN, y)
        right, bottom = min(MARGIN, self.layout.size - x - width), min(MARGIN, self.layout.size - y - height)
        wide = self._section(x - left, y - top, width + left + right, height + top + bottom)
        window = (slice(top, top + height), slice(left, left + width))
        return mixed(wide[window], blurred(wide)[window], inside)

    def _section(self, x: int, y: int, width: int, height: int) -> Plane:
        """The same before anything was planted."""
        blue, pink, mask = self._ground(x, y, width, height)
        self._glands(blue, pink, x, y)
        self._cells(blue, pink, x, y)
        np.minimum(blue, mask, out=blue)
        noise = _tile(stamps.textures()["sensor"], x, y, width, height) >> 5
        index = np.minimum(blue, 251).astype(np.uint16)
        index = ((index + (noise >> 1)) << 8) | np.minimum(pink, 247) + noise
        return np.asarray(np.take(self._light, index, axis=0))

    def _ground(self, x: int, y: int, width: int, height: int) -> tuple[Plane, Plane, Plane]:
        """Hematoxylin and eosin of everything but glands and cells, and the tissue's mask (255 inside)."""
        window = (x, y, width, height)
        zone = {name: _spread(field, *window) for name, field in self.layout.fields.items() if "warp" not in name}
        bend = _Bend(self.layout, *window)
        texture = stamps.textures()
        grain = _tile(texture["grain"], *window)
        cloud = _tile(texture["cloud"], *window)
        fibre, bundle = bend(texture["fibre"]), bend(texture["fibre"], turned=True)
        nest = bend(texture["nest"], turned=True)
        mask = _sharp(_ragged(zone["tissue"], grain, 3), 14)

        pink = _FIBRE_PINK[fibre] + (cloud >> 4)  # stroma
        blue = np.full_like(pink, 8) + (grain >> 5)
        pink, blue = _mix(pink, (bundle >> 2) + 58, zone["muscle"], 3), _mix(blue, (grain >> 5) + 13, zone["muscle"], 3)
        pink = _mix(pink, (grain >> 3) + 30, zone["lymph"], 4)
        blue = _mix(blue, (grain >> 3) + 26, zone["lymph"], 4)

        # A tumour is nests of cells in a strand of stroma; `nest` below the table's threshold is stroma.
        solid = _scale(_sharp(zone["tumour"], 5), _NEST[nest])
        pink = _blend(pink, (grain >> 2) + 28, solid)
        blue = _blend(blue, (grain >> 2) + 18, solid)
        dead = _sharp(_ragged(zone["necrosis"], cloud, 3), 5)
        pink, blue = _blend(pink, (grain >> 1) + 40, dead), _blend(blue, (grain >> 3) + 6, dead)

        membrane = bend(texture["fat"])
        fat = _sharp(_ragged(zone["fat"], cloud, 2), 4)
        pink, blue = _blend(pink, (membrane >> 2) + (membrane >> 4), fat), _blend(blue, membrane >> 5, fat)
        return _scale(blue, mask), _scale(pink, mask), mask

    def _glands(self, blue: Plane, pink: Plane, x: int, y: int) -> None:
        shapes = stamps.glands()
        height, width = blue.shape
        placed = self.layout.glands
        near = (np.abs(placed[:, 0] - x - width // 2) < width // 2 + 150) & (
            np.abs(placed[:, 1] - y - height // 2) < height // 2 + 150
        )
        for gx, gy, number, turn, kind in placed[near].tolist():
            rho = shapes[number].rho
            rho = rho[:, ::-1] if turn & 4 else rho
            rho = np.rot90(rho, turn & 3)[:: _STRIDE[kind], :: _STRIDE[kind]]
            cut = _clip(gx - x, gy - y, rho, width, height)
            if cut is None:
                continue
            where, part = cut
            look = _gland_tables(kind, shapes[number].lumen)
            cover = look[0][part]
            corner = (x + where[1].start, y + where[0].start)
            grain = _tile(stamps.textures()["grain"], *corner, part.shape[1], part.shape[0]) >> 4
            blue[where] = _blend(blue[where], look[1][part] + (grain >> 1), cover)
            pink[where] = _blend(pink[where], look[2][part] + grain * (look[2][part] > 20), cover)

    def _cells(self, blue: Plane, pink: Plane, x: int, y: int) -> None:
        library = stamps.cells()
        height, width = blue.shape
        cells = self.layout.cells
        near = (
            (cells[:, 0] > x - 40) & (cells[:, 0] < x + width + 40) & (cells[:, 1] > y - 40) & (cells[:, 1] < y + height + 40)
        )
        for cx, cy, kind, number in cells[near].tolist():
            cut = _clip(cx - x, cy - y, library[kind][number], width, height)
            if cut is None:
                continue
            where, stamp = cut
            if kind == stamps.GOBLET:  # a vacuole of pale mucus
                pale = stamp - (stamp >> 2)
                pink[where], blue[where] = _blend(pink[where], np.uint8(10), pale), _blend(blue[where], np.uint8(17), pale)
            elif kind == stamps.RED_CELL:
                np.maximum(pink[where], stamp, out=pink[where])
            else:
                np.maximum(blue[where], stamp, out=blue[where])
                # Eosin shines through a nucleus less than through the tissue around it.
                pink[where] = pink[where] - np.minimum(pink[where], stamp >> 3)


def _clip(cx: int, cy: int, stamp: Plane, width: int, height: int) -> tuple[tuple[slice, slice], Plane] | None:
    """The part of the canvas that a stamp centred on (cx, cy) covers, and that part of the stamp; None where it misses."""
    rows, columns = stamp.shape
    top, left = cy - rows // 2, cx - columns // 2
    y0, x0, y1, x1 = max(top, 0), max(left, 0), min(top + rows, height), min(left + columns, width)
    if y0 >= y1 or x0 >= x1:
        return None
    return (slice(y0, y1), slice(x0, x1)), stamp[y0 - top : y1 - top, x0 - left : x1 - left]


def _spread(field: Plane, x: int, y: int, width: int, height: int) -> Plane:
    """Bilinear values of a lattice field over a window."""
    return (_spread_fine(field, x, y, width, height) >> 8).astype(np.uint8)


def _spread_fine(field: Plane, x: int, y: int, width: int, height: int) -> NDArray[np.uint16]:
    """The same, x 256."""
    part = field[y // CELL : (y + height) // CELL + 1, x // CELL : (x + width) // CELL + 1].astype(np.uint16)
    step = np.arange(CELL, dtype=np.uint16)
    rows = part[:-1, None] * (CELL - step)[:, None] + part[1:, None] * step[:, None]
    rows = rows.reshape(height, -1)
    out = rows[:, :-1, None] * (CELL - step) + rows[:, 1:, None] * step
    return np.asarray(out.reshape(height, width))


def _tile(texture: Plane, x: int, y: int, width: int, height: int) -> Plane:
    period = stamps.PERIOD
    rows = np.arange(y, y + height) % period
    columns = np.arange(x, x + width) % period
    return np.asarray(texture[rows[:, None], columns]) if height < 64 else np.asarray(texture[rows][:, columns])


class _Bend:
    """Bends textures by the slide's two warp fields: fibres wave, cells of fat differ in size."""

    def __init__(self, layout: Layout, x: int, y: int, width: int, height: int) -> None:
        self._along = (_spread_fine(layout.fields["warp_x"], x, y, width, height) >> 7).astype(np.int32)
        self._across = (_spread_fine(layout.fields["warp_y"], x, y, width, height) >> 6).astype(np.int32)
        self._along += np.arange(x, x + width, dtype=np.int32)
        self._across += np.arange(y, y + height, dtype=np.int32)[:, None]

    def __call__(self, texture: Plane, turned: bool = False) -> Plane:
        """The texture over the window; `turned` by a quarter."""
        rows, columns = (self._along, self._across) if turned else (self._across, self._along)
        return _wrapped(texture, rows, columns)


def _wrapped(texture: Plane, rows: NDArray[np.int32], columns: NDArray[np.int32]) -> Plane:
    mask = np.int32(stamps.PERIOD - 1)
    rows, columns = rows & mask, columns & mask
    return np.asarray(np.take(texture.reshape(-1), rows * np.int32(stamps.PERIOD) + columns))


def _sharp_table(gain: int) -> Plane:
    return np.clip((np.arange(256) - 128) * gain + 128, 0, 255).astype(np.uint8)


_SHARP = {gain: _sharp_table(gain) for gain in (3, 4, 5, 14)}


def _sharp(field: Plane, gain: int) -> Plane:
    """A border (128) of a zone made `gain` times steeper."""
    return np.asarray(_SHARP[gain][field])


def _ragged(field: Plane, texture: Plane, shift: int) -> Plane:
    """A zone's border made uneven by a texture."""
    moved = field.astype(np.int16) + (texture >> shift) - (128 >> shift)
    return np.clip(moved, 0, 255).astype(np.uint8)


def _scale(plane: Plane, weight: Plane) -> Plane:
    return ((plane.astype(np.uint16) * weight + 128) >> 8).astype(np.uint8)


def _blend(under: Plane, over: Plane | np.uint8, weight: Plane) -> Plane:
    wide = weight.astype(np.uint16)
    return ((under * (np.uint16(255) - wide) + over * wide + np.uint16(128)) >> 8).astype(np.uint8)


def _mix(under: Plane, over: Plane, zone: Plane, gain: int) -> Plane:
    return _blend(under, over, _sharp(zone, gain))


def _fibre_pink() -> Plane:
    """Collagen's eosin by fibre texture: clefts where it is lowest, then pale to strong strands."""
    value = np.arange(256)
    strand = 26 + value * 0.22
    cleft = np.clip((value - 18) / 22, 0, 1)
    return np.rint(strand * (0.25 + 0.75 * cleft)).astype(np.uint8)


_FIBRE_PINK = _fibre_pink()
_NEST = np.clip((np.arange(256) - NEST_BORDER + 18) * 7, 0, 255).astype(np.uint8)
_STRIDE = {0: 1, 1: 1, 2: 2, 3: 3}


@lru_cache(maxsize=4 * stamps.SHAPES)
def _gland_tables(kind: int, lumen: float) -> tuple[Plane, Plane, Plane]:
    """Cover, hematoxylin and eosin by relative radius (0 centre, `RHO_EDGE` border) for one kind of gland."""
    rho = np.arange(256) / stamps.RHO_EDGE

    def steps(*points: tuple[float, float]) -> Plane:
        at, value = zip(*points, strict=True)
        return np.clip(np.rint(np.interp(rho, at, value)), 0, 255).astype(np.uint8)

    edge = 0.012
    cover = steps((1.0, 255), (1.0 + 3 * edge, 0))
    if kind == 2:  # vessel: pale lumen in a muscular wall
        return cover, steps((0.85, 6), (0.9, 24), (1.0, 20)), steps((0.82, 6), (0.88, 74), (1.0, 66))
    if kind == 3:  # an irregular opening in a tumour, with debris
        return cover, steps((0.75, 5), (0.95, 40)), steps((0.75, 9), (0.95, 40))
    if kind == 1:  # crowded gland: little mucus, narrow opening
        return (
            cover,
            steps((lumen * 0.6, 6), (lumen * 0.6 + 0.04, 40), (0.96, 44), (1.0, 12)),
            steps((lumen * 0.6, 8), (lumen * 0.6 + 0.04, 46), (0.96, 48), (1.0, 66)),
        )
    return (
        cover,
        steps((lumen, 5), (lumen + 0.03, 26), (0.7, 24), (0.8, 32), (0.96, 34), (1.0, 10)),
        steps((lumen, 7), (lumen + 0.03, 50), (0.5, 40), (0.96, 46), (0.985, 30), (1.0, 66)),
    )


def _light(layout: Layout) -> Plane:
    """(65536, 3) uint8 colour by hematoxylin x 256 + eosin, with this slide's stain."""
    blue, pink, glass, hue_h, hue_e, grey, warm = layout.stain
    # The painter adds sensor noise of 0 to 3 and 0 to 7 to the two indices: their means are taken off here.
    absorbed, stained = (np.arange(256) - 1.5) / 100, (np.arange(256) - 3.5) / 100
    h = HEMATOXYLIN * (1 + 0.10 * blue) + np.array([0.03, -0.01, -0.02]) * hue_h
    e = EOSIN * (1 + 0.12 * pink) + np.array([0.02, 0.0, -0.04]) * hue_e
    white = np.array([243.0, 242.0, 244.0]) + 1.5 * glass + np.array([1.0, 0.5, -1.0]) * warm + 0.5 * grey
    passed = np.exp(-(absorbed[:, None, None] * h + stained[None, :, None] * e))
    return np.rint(np.clip(passed * white, 0, 255)).astype(np.uint8).reshape(-1, 3)
