"""The scale bar: a round length that fits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_wsimil.exports.figures.fonts import text_width
from napari_wsimil.exports.figures.marks import INK, PAPER, Filled, Mark, Words

if TYPE_CHECKING:
    from napari_wsimil.exports.figures.options import Frame

LONGEST = 0.25
"""Largest share of the picture's width that the bar takes."""


def round_length(most: float) -> float:
    """The largest of 1, 2, 5, 10, 20, 50 ... (and of 0.5, 0.2, 0.1 ...) that is not more than `most`."""
    power = 10.0 ** math.floor(math.log10(most))
    return max(step * power for step in (1, 2, 5) if step * power <= most * (1 + 1e-9))


def length_text(micrometres: float) -> str:
    """For example "200 µm" or "5 mm"."""
    return f"{micrometres / 1000:g} mm" if micrometres >= 1000 else f"{micrometres:g} µm"


def scale_bar(frame: Frame, size: float) -> list[Mark]:
    """A bar with its length above it on a light plate in the lower left corner; in level-0 pixels without mpp.

    Parameters
    ----------
    frame
        What the picture shows.
    size
        Of the text, in pixels.
    """
    unit = frame.mpp or frame.ratio[0]
    length = round_length(LONGEST * frame.width * unit)
    text = length_text(length) if frame.mpp else f"{length:,g} px"
    # Whole pixels: a bar from 10.4 to 60.4 would blur, and be one too long or too short to measure.
    bar, thick, pad = max(1, round(length / unit)), max(2, round(size / 5)), round(size * 0.6)
    inside = max(bar, math.ceil(text_width(text, size)))
    left, bottom = pad, frame.height - pad
    top = bottom - thick - round(1.2 * size) - 2 * pad
    plate = (left, top, left + inside + 2 * pad, bottom)
    start = left + pad + (inside - bar) // 2
    return [
        Filled(plate, PAPER, 0.8),
        Filled((start, bottom - pad - thick, start + bar, bottom - pad), INK),
        Words(left + pad + inside / 2, bottom - pad - thick - round(0.35 * size), text, size, at="middle"),
    ]
