"""The legend below a picture: a ramp with its numbers for each raster, a small box for each kind of outline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_wsimil.exports.figures.fonts import shortened, text_width
from napari_wsimil.exports.figures.marks import INK, Filled, Mark, Outline, Ramp, Words
from napari_wsimil.exports.looks import BoxLook, Look, RasterLook

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_RAMP = 11.0
"""Length of a ramp, in sizes of the text."""


@dataclass(frozen=True)
class Legend:
    """Marks from (0, 0) on, and the height that they need."""

    marks: tuple[Mark, ...]
    height: int


def legend(looks: Sequence[Look], size: float, room: float) -> Legend:
    """Entries side by side as far as `room` pixels go, then below each other, in text of `size` pixels."""
    marks: list[Mark] = []
    pad, gap, line = round(size * 0.8), size * 2.2, 3.3 * size
    x, y = float(pad), float(pad)
    for look in looks:
        # The widest entry that there is room for; a name is shortened rather than cut off.
        width = min(_width(look, size), room - 2 * pad)
        if x > pad and x + width > room - pad:
            x, y = float(pad), y + line
        marks += _entry(look, x, y, size, width)
        x += width + gap
    return Legend(tuple(marks), round(y + line + 0.2 * size) if looks else 0)


def is_swatch(look: Look) -> bool:
    """Whether a raster has one colour only, like a mask of the tissue."""
    return isinstance(look, RasterLook) and look.unit == "tissue"


def limit_texts(look: RasterLook) -> tuple[str, str]:
    """The values of the first and last colour; values beyond have the same colours, which the signs say where there are any."""
    low, high = look.limits
    if look.unit == "region":
        return "1", f"{high:g}"
    values = look.values[np.isfinite(look.values)]
    texts = [_number(value, look.unit) for value in (low, high)]
    below, above = (bool(len(values)) and bool(beyond) for beyond in ((values < low).any(), (values > high).any()))
    return ("≤ " if below else "") + texts[0], ("≥ " if above else "") + texts[1]


def seen_colours(look: RasterLook) -> NDArray[np.uint8]:
    """(n, 3) colours of a look as they are seen on white; of regions, without that of none."""
    colours = look.colours[look.unit == "region" :]
    alpha = colours[:, 3:] * look.opacity
    return np.rint(255 * (colours[:, :3] * alpha + 1 - alpha)).astype(np.uint8)


def _number(value: float, unit: str) -> str:
    if unit == "percentile":
        return f"{value:.3g} %"
    digits, _, power = f"{value:.3g}".partition("e")
    return f"{digits} × 10{str(int(power)).translate(_RAISED)}" if power else digits


def _title(look: Look) -> str:
    if isinstance(look, BoxLook):
        return f"{look.name} ({len(look.boxes):,})"
    return f"{look.name}, percentile" if look.unit == "percentile" else look.name


def _width(look: Look, size: float) -> float:
    words = text_width(_title(look), size)
    if isinstance(look, BoxLook) or is_swatch(look):
        return words + 2 * size + 1
    numbers = sum(text_width(text, 0.9 * size) for text in limit_texts(look)) + size
    return max(words, numbers, _RAMP * size)


def _entry(look: Look, x: float, y: float, size: float, width: float) -> list[Mark]:
    if isinstance(look, BoxLook):
        top = round(y + 0.1 * size)
        box = (round(x), top, round(x) + round(1.2 * size), top + round(1.2 * size))
        name = shortened(_title(look), size, width - 2 * size)
        return [Outline(box, look.colour, max(2, round(size / 6))), Words(x + 2 * size, y + size, name, size)]
    if is_swatch(look):
        red, green, blue = seen_colours(look)[-1].tolist()
        swatch = (round(x), round(y + 0.1 * size), round(x) + round(1.2 * size), round(y + 0.1 * size) + round(1.2 * size))
        name = shortened(_title(look), size, width - 2 * size)
        return [Filled(swatch, f"#{red:02x}{green:02x}{blue:02x}"), Words(x + 2 * size, y + size, name, size)]
    low, high = limit_texts(look)
    ramp = (round(x), round(y + 1.35 * size), round(x + width), round(y + 1.95 * size))
    return [
        Words(x, y + 0.9 * size, shortened(_title(look), size, width), size),
        Filled((ramp[0] - 1, ramp[1] - 1, ramp[2] + 1, ramp[3] + 1), INK, 0.25),
        Ramp(ramp, seen_colours(look)),
        Words(x, y + 2.85 * size, low, 0.9 * size),
        Words(x + width, y + 2.85 * size, high, 0.9 * size, at="end"),
    ]
