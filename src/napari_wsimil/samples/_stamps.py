"""The small parts that a generated slide is painted with: noise textures, nuclei and gland shapes.

All are made once per process from a fixed seed and quantised to uint8, so that every machine paints with the same parts.
Lengths are level-0 pixels of 0.5 µm. Hematoxylin and eosin are optical densities x 100.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

PERIOD = 1024  # side of a texture; textures tile without a seam
ORIENTATIONS = 16
VARIANTS = 6
SHAPES = 48  # gland outlines
RHO_EDGE = 200  # value of a gland shape at its outer border, 0 in its centre

SPINDLE, EPITHELIUM, LYMPHOCYTE, TUMOUR, MITOSIS, RED_CELL, GOBLET = range(7)


@dataclass(frozen=True)
class _Nucleus:
    """How one kind of cell is drawn: half axes (px), spread of sizes, density, irregularity of the outline, pale inside."""

    long: float
    short: float
    spread: float
    density: int
    irregular: float
    vesicular: float
    grain: float
    nucleoli: int = 0


_KINDS = {
    SPINDLE: _Nucleus(10.0, 2.7, 0.25, 150, 0.06, 0.0, 0.15),
    EPITHELIUM: _Nucleus(6.6, 4.2, 0.12, 140, 0.05, 0.15, 0.2),
    LYMPHOCYTE: _Nucleus(5.4, 5.0, 0.08, 185, 0.04, 0.0, 0.25),
    TUMOUR: _Nucleus(10.0, 7.6, 0.26, 138, 0.14, 0.45, 0.3, nucleoli=2),
    MITOSIS: _Nucleus(9.0, 3.2, 0.2, 235, 0.35, 0.0, 0.1),
    RED_CELL: _Nucleus(6.4, 6.2, 0.06, 105, 0.03, 0.12, 0.05),
    GOBLET: _Nucleus(11.0, 7.5, 0.15, 255, 0.05, 0.0, 0.0),
}


def _quantise(field: NDArray[np.float64], low: float = 0.5, high: float = 99.5) -> NDArray[np.uint8]:
    bottom, top = np.percentile(field, [low, high])
    return np.clip(np.rint((field - bottom) / (top - bottom) * 255), 0, 255).astype(np.uint8)


@lru_cache(maxsize=1)
def textures() -> dict[str, NDArray[np.uint8]]:
    """Tileable (1024, 1024) uint8 textures by name."""
    rng = np.random.default_rng(1701)

    def smooth(*sigma: float) -> NDArray[np.float64]:
        white = rng.standard_normal((PERIOD, PERIOD))
        field = np.asarray(ndimage.gaussian_filter(white, sigma, mode="wrap"))
        return field / field.std()

    fibre = smooth(2.2, 46) + 0.8 * smooth(1.1, 18) + 0.45 * smooth(5.0, 70)
    return {
        "fibre": _quantise(fibre),
        "cloud": _quantise(smooth(40, 40) + 0.5 * smooth(14, 14)),
        "nest": _quantise(smooth(24, 34) + 0.25 * smooth(8, 8)),
        "grain": _quantise(smooth(1.6, 1.6) + 0.8 * smooth(4, 4)),
        "sensor": _quantise(smooth(0.6, 0.6)),
        "fat": _fat(rng),
    }


def _fat(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Adipocytes: 0 inside a cell, 255 on the thin membrane between two (by nearest and second-nearest seed)."""
    side = 128  # one cell per lattice square, about 64 µm
    count = PERIOD // side
    seeds = rng.uniform(0.12, 0.88, (count, count, 2)) * side
    rows, columns = np.mgrid[0:PERIOD, 0:PERIOD]
    nearest = np.full((2, PERIOD, PERIOD), 1e9)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            r, c = rows // side + down, columns // side + right
            seed = seeds[r % count, c % count]
            distance = np.hypot(rows - (r * side + seed[..., 0]), columns - (c * side + seed[..., 1]))
            second = np.minimum(np.maximum(nearest[0], distance), nearest[1])
            nearest[0], nearest[1] = np.minimum(nearest[0], distance), second
    gap = nearest[1] - nearest[0]
    return np.clip(np.rint((7.0 - gap) / 5.0 * 255), 0, 255).astype(np.uint8)


@lru_cache(maxsize=1)
def cells() -> list[list[NDArray[np.uint8]]]:
    """``cells()[kind][orientation * VARIANTS + variant]``: a small uint8 stamp, 0 outside the cell."""
    rng = np.random.default_rng(1702)
    return [
        [_cell(_KINDS[kind], np.pi * turn / ORIENTATIONS, rng) for turn in range(ORIENTATIONS) for _ in range(VARIANTS)]
        for kind in sorted(_KINDS)
    ]


def _cell(kind: _Nucleus, angle: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    scale = float(np.exp(rng.normal(0, kind.spread)))
    long, short = kind.long * scale, kind.short * scale
    half = int(np.ceil(long * (1 + 2 * kind.irregular))) + 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    theta = np.arctan2(v / short, u / long)
    wobble = np.ones_like(x)
    for wave in (2, 3, 5):
        wobble += kind.irregular / np.sqrt(wave) * rng.normal() * np.cos(wave * theta + rng.uniform(0, 2 * np.pi))
    radius = np.hypot(u / long, v / short) / np.clip(wobble, 0.5, 1.6)
    alpha = np.clip((1 - radius) * short / 1.3 + 0.5, 0, 1)
    grain = np.asarray(ndimage.gaussian_filter(rng.standard_normal(x.shape), 1.2))
    body = 1 - kind.vesicular * np.clip(1 - radius / 0.85, 0, 1) + kind.grain * grain / (grain.std() + 1e-9) * 0.5
    for _ in range(rng.integers(0, kind.nucleoli + 1) if kind.nucleoli else 0):
        cu, cv = rng.uniform(-0.45, 0.45, 2)
        body += 0.55 * np.exp(-((u - cu * long) ** 2 + (v - cv * short) ** 2) / 2.6)
    shade = kind.density * float(np.exp(rng.normal(0, 0.09)))
    return np.clip(np.rint(alpha * body * shade), 0, 250).astype(np.uint8)


@dataclass(frozen=True)
class GlandShape:
    """A gland seen across: relative radius as a raster, and the same outline as a function for placing nuclei.

    Attributes
    ----------
    rho
        (2 h + 1, 2 h + 1) uint8: 0 in the centre, `RHO_EDGE` on the border, 255 far outside.
    radius
        Mean radius in px.
    waves
        (3, 2) amplitude and phase of the outline's harmonics 2, 3 and 5.
    lumen
        Relative radius of the opening.
    """

    rho: NDArray[np.uint8]
    radius: float
    waves: NDArray[np.float64]
    lumen: float

    def border(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance of the border from the centre in px, in direction `theta`."""
        return self.radius * _outline(theta, self.waves)


def _outline(theta: NDArray[np.float64], waves: NDArray[np.float64]) -> NDArray[np.float64]:
    shape = np.ones_like(theta)
    for wave, (amplitude, phase) in zip((2, 3, 5), waves, strict=True):
        shape = shape + amplitude * np.cos(wave * theta + phase)
    return shape


@lru_cache(maxsize=1)
def glands() -> list[GlandShape]:
    """Gland outlines, from small and round to larger and drawn out."""
    rng = np.random.default_rng(1703)
    return [_gland(rng) for _ in range(SHAPES)]


def _gland(rng: np.random.Generator) -> GlandShape:
    radius = float(rng.uniform(64, 94))
    waves = np.stack([rng.normal(0, 1, 3) * (0.13, 0.05, 0.02), rng.uniform(0, 2 * np.pi, 3)], axis=1)
    half = int(radius * 1.4) + 4
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    rho = np.hypot(x, y) / (radius * _outline(np.arctan2(y, x), waves))
    return GlandShape(np.clip(np.rint(rho * RHO_EDGE), 0, 255).astype(np.uint8), radius, waves, float(rng.uniform(0.16, 0.34)))
