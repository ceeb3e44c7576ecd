"""Painting classes at a resolution that is chosen: a mask of one byte per pixel, never as large as the slide."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_wsimil.annotations.classes import same_name
from napari_wsimil.inference.heatmap import Heatmap
from napari_wsimil.widgets.slide_layer import KEY, facts, placement

if TYPE_CHECKING:
    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.slides import Slide
    from napari_wsimil.widgets.annotate.board import Board
    from napari_wsimil.widgets.annotate.region_layer import ColourOf

BRUSH = "brush"
NAME = "Painted"
LONGEST = 8192
"""Pixels along a side of a mask: what graphics cards show whole, and 64 MB at most."""

STROKE = 64.0
"""µm across of the brush at first; napari's layer controls change it, or [ and ]."""

FINEST = (8.0, 2.0)
"""µm per pixel that are offered beside the patches of a prediction."""

FINEST_PIXELS = (32.0, 8.0)
"""The same in level-0 pixels, for slides that do not know their pixel size."""


@dataclass(frozen=True)
class Resolution:
    """How finely to paint.

    Attributes
    ----------
    label
        What a user reads.
    step
        Side of a pixel in level-0 pixels.
    problem
        Why it can't be chosen; "" where it can.
    """

    label: str
    step: float
    problem: str = ""


def resolutions(slide: Slide, prediction: SlidePrediction | None) -> list[Resolution]:
    """What is offered for a slide: the patches of a prediction, and two finer ones."""
    mpp = (slide.mpp[0] + slide.mpp[1]) / 2 if slide.mpp else None
    found: dict[float, str] = {}
    if prediction is not None and (prediction.attention or prediction.instances):
        tables = prediction.attention or prediction.instances
        step = float(tables[min(tables)].stride_level0)
        found[step] = f"{step * mpp:.3g} µm (patch)" if mpp else f"{step:g} px (patch)"
    for size in FINEST if mpp else FINEST_PIXELS:
        found.setdefault(size / mpp if mpp else size, f"{size:g} µm" if mpp else f"{size:g} px")
    return [Resolution(label, max(step, 1.0), _problem(slide, max(step, 1.0))) for step, label in found.items()]


def _problem(slide: Slide, step: float) -> str:
    longest = math.ceil(max(slide.width, slide.height) / step)
    if longest <= LONGEST:
        return ""
    return (
        f"Too fine for this slide: {longest:,} pixels across, of {LONGEST:,} that a graphics card shows; draw polygons there."
    )


def make_brush(slide: Slide, resolution: Resolution) -> Labels:
    """An empty layer to paint on."""
    step = resolution.step
    mask = np.zeros((math.ceil(slide.height / step), math.ceil(slide.width / step)), np.uint8)
    about = {"kind": BRUSH, "fingerprint": slide.fingerprint, "path": str(slide.path), "step": step, "names": []}
    layer = Labels(mask, name=f"{NAME} at {resolution.label}", opacity=0.6, metadata={KEY: about}, **place(slide, step))
    mpp = (slide.mpp[0] + slide.mpp[1]) / 2 if slide.mpp else 1.0
    layer.brush_size = min(max(round(STROKE / (step * mpp)), 1), 40)
    return layer


def start_painting(board: Board, mode: str, resolution: Resolution | None) -> None:
    """Paint or erase, on the layer that is there, else on a new one of a resolution that can be had."""
    brush: Any = board.brush
    if brush is None:
        if board.slide is None or resolution is None or resolution.problem:
            return
        brush = board.viewer.add_layer(make_brush(board.slide, resolution))
        board.adopt(brush)
    board.viewer.layers.selection.active = brush
    brush.visible = True
    board.draw_next()
    brush.mode = mode


def place(slide: Slide, step: float) -> dict[str, Any]:
    """Where a raster lies whose pixels are `step` level-0 pixels wide and whose corner is that of the slide."""
    scale, translate = Heatmap(np.zeros((1, 1), np.float32), (0.0, 0.0), step).scale_translate(slide.mpp or (1.0, 1.0))
    return {"scale": scale, "translate": translate, "units": placement(slide.mpp)["units"], "axis_labels": ("y", "x")}


def is_brush(layer: Any, slide: Slide) -> bool:
    """Whether a layer is painted on, on that slide."""
    about = facts(layer)
    return about.get("kind") == BRUSH and about["fingerprint"] == slide.fingerprint


def number_of(layer: Any, name: str) -> int:
    """The number by which a class is painted, which it gets when it is first asked for."""
    names: list[str] = facts(layer)["names"]
    for number, one in enumerate(names, start=1):
        if same_name(one) == same_name(name):
            return number
    names.append(name)
    return len(names)


def names_of(layer: Any) -> dict[int, str]:
    """Number -> class."""
    return dict(enumerate(facts(layer)["names"], start=1))


def mask_colours(layer: Any, colour_of: ColourOf) -> None:
    """Give what is painted the colours of the classes."""
    colours: dict[int | None, Any] = {None: (0.0, 0.0, 0.0, 0.0), 0: (0.0, 0.0, 0.0, 0.0)}
    for number, name in names_of(layer).items():
        colours[number] = (*(np.array(colour_of(name)) / 255), 1.0)
    layer.colormap = DirectLabelColormap(color_dict=colours)
