"""Where everything of a figure stands: one layout, whichever file it becomes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_wsimil.exports.figures.boxes import box_marks
from napari_wsimil.exports.figures.fonts import shortened
from napari_wsimil.exports.figures.legend import legend
from napari_wsimil.exports.figures.marks import Mark, Words
from napari_wsimil.exports.figures.options import FigureOptions, Frame, framed
from napari_wsimil.exports.figures.scale import scale_bar
from napari_wsimil.exports.looks import BoxLook, Look, RasterLook, default_looks
from napari_wsimil.exports.words import share

if TYPE_CHECKING:
    from napari_wsimil.inference.prediction import SlidePrediction
    from napari_wsimil.slides import Slide
    from napari_wsimil.slides._colour import Colour

SMALLEST_TEXT = 10.0
"""Text of fewer pixels can't be read."""

_TEXT = 60
"""The size of the text is this part of the picture's width: 8 pt in a picture of 17 cm."""


@dataclass(frozen=True)
class Panel:
    """A picture of the slide on the page, whose top-left corner is at (x, y); `marks` count from there and end at its edges."""

    x: int
    y: int
    rasters: tuple[RasterLook, ...]
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Page:
    """A whole figure, in pixels.

    Attributes
    ----------
    frame
        What each picture shows.
    width, height
        Of the page.
    panels
        The pictures, from left to right.
    marks
        What stands around them.
    dpi
        Pixels per inch in print.
    colour
        How pixels of the slide are read.
    about
        A sentence for the file: which slide, model and place, at which resolution.
    """

    frame: Frame
    width: int
    height: int
    panels: tuple[Panel, ...]
    marks: tuple[Mark, ...]
    dpi: float
    colour: Colour
    about: str


def laid_out(prediction: SlidePrediction, slide: Slide, options: FigureOptions, top: int = 10) -> Page:
    """Lay a figure of a prediction out; `top` is the number of boxes where `options` do not say what lies over the slide.

    Raises
    ------
    ExportError
        The region or the resolution does not fit the slide.
    """
    frame = framed(options, slide)
    wanted = default_looks(prediction, top) if options.overlays is None else options.overlays
    seen = (_in_view(look, frame) for look in wanted)
    looks = tuple(look for look in seen if isinstance(look, RasterLook) or len(look.boxes))
    size = options.text * text_size(frame)
    above = round(2.2 * size) if options.title else 0
    panels = _panels(frame, looks, size, above, options)
    width = panels[-1].x + frame.width
    marks: list[Mark] = []
    if options.title:
        marks.append(Words(0.5 * size, 1.5 * size, shortened(title(prediction), size, width - size, True), size, bold=True))
    height = above + frame.height
    if options.legend and looks:
        below = legend(looks, size, width)
        marks += [_moved(mark, height) for mark in below.marks]
        height += below.height
    return Page(frame, width, height, panels, tuple(marks), options.dpi, options.colour, _about(prediction, frame))


def text_size(frame: Frame) -> float:
    """Size of the text in pixels: it grows with the picture, and stays small on one that is wide but low."""
    return max(SMALLEST_TEXT, min(frame.width, 2 * frame.height) / _TEXT)


def title(prediction: SlidePrediction) -> str:
    """For example "slide 7 · tumour 97.3 % · bundled"."""
    about = prediction.provenance
    slide, model = about.get("slide", {}), about.get("model", {})
    predicted = prediction.predicted_class
    parts = (slide.get("name"), f"{predicted} {share(prediction.probabilities[predicted])}", model.get("id"))
    return " · ".join(str(part) for part in parts if part)


def _panels(frame: Frame, looks: tuple[Look, ...], size: float, above: int, options: FigureOptions) -> tuple[Panel, ...]:
    bar = tuple(scale_bar(frame, size)) if options.scale_bar else ()
    rasters = tuple(look for look in looks if isinstance(look, RasterLook))
    marks = box_marks([look for look in looks if isinstance(look, BoxLook)], frame, size)
    if not options.side_by_side:
        return (Panel(0, above, rasters, (*marks, *bar)),)
    return Panel(0, above, (), bar), Panel(frame.width + round(size), above, rasters, (*marks, *bar))


def _in_view(look: Look, frame: Frame) -> Look:
    """The look with only those boxes that the picture shows."""
    if isinstance(look, RasterLook):
        return look
    boxes = np.asarray(look.boxes, float).reshape(-1, 4)
    x0, y0, x1, y1 = frame.region
    seen = (boxes[:, 0] < x1) & (boxes[:, 1] < y1) & (boxes[:, 2] > x0) & (boxes[:, 3] > y0)
    labels = tuple(label for label, kept in zip(look.labels, seen, strict=False) if kept)
    return replace(look, boxes=boxes[seen], labels=labels)


def _moved(mark: Mark, down: float) -> Mark:
    if isinstance(mark, Words):
        return replace(mark, y=mark.y + down)
    x0, y0, x1, y1 = mark.box
    return replace(mark, box=(x0, y0 + down, x1, y1 + down))


def _about(prediction: SlidePrediction, frame: Frame) -> str:
    x0, y0, x1, y1 = frame.region
    unit = f"{frame.mpp:g} µm per pixel" if frame.mpp else f"{frame.ratio[0]:g} slide pixels per pixel"
    return f"{title(prediction)}; {unit}; slide pixels {x0:g}, {y0:g} to {x1:g}, {y1:g}. For research, not for diagnosis."
