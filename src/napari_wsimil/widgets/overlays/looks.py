"""What a viewer shows of a prediction, as exports draw it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wsimil.exports.looks import BoxLook, RasterLook
from napari_wsimil.widgets.overlays.scaling import unit
from napari_wsimil.widgets.overlays.tags import is_scored, laid_mpp, overlays_of, title
from napari_wsimil.widgets.slide_layer import facts

if TYPE_CHECKING:
    from napari_wsimil.inference import SlidePrediction

COLOURS = 256


def looks_of(viewer: Any, prediction: SlidePrediction) -> list[RasterLook | BoxLook]:
    """The overlays of a prediction that are shown, as the user sees them, bottom first."""
    shown = [layer for layer in reversed(overlays_of(viewer, prediction)) if layer.visible]
    return [_boxes(layer) if "side" in facts(layer) else _raster(layer) for layer in shown]


def _boxes(layer: Any) -> BoxLook:
    corners = np.array([[*box.min(axis=0)[::-1], *box.max(axis=0)[::-1]] for box in layer.data]).reshape(-1, 4)
    labels = tuple(str(rank) for rank in layer.features["rank"]) if len(layer.features) == len(corners) else ()
    return BoxLook(title(layer), corners + 0.5, facts(layer)["colour"], labels)


def _raster(layer: Any) -> RasterLook:
    mpp = laid_mpp(layer) or (1.0, 1.0)
    step = (float(layer.scale[1]) / mpp[0], float(layer.scale[0]) / mpp[1])
    # napari's place is that of the first pixel's centre, counted from the centre of the slide's first pixel
    x, y = (float(layer.translate[1 - axis]) / mpp[axis] - (step[axis] - 1) / 2 for axis in (0, 1))
    if is_scored(layer):
        positions = np.linspace(0, 1, COLOURS) ** layer.gamma
        values, limits = np.asarray(layer.data), tuple(float(limit) for limit in layer.contrast_limits)
        colours, smooth, told = np.asarray(layer.colormap.map(positions)), layer.interpolation2d != "nearest", unit(layer)
    else:
        numbers = np.asarray(layer.data)
        values = np.where(numbers == 0, np.nan, numbers).astype(np.float32)
        limits = (0.0, float(max(numbers.max(initial=0), 1)))
        told = "tissue" if facts(layer)["kind"] == "tissue" else "region"
        wanted = np.array([0.0, 1.0]) if told == "tissue" else np.arange(int(limits[1]) + 1, dtype=numbers.dtype)
        colours, smooth = np.asarray(layer.colormap.map(wanted)), False
    return RasterLook(
        name=title(layer),
        values=values,
        origin=(x, y),
        step=step,
        colours=colours.astype(np.float32),
        limits=(limits[0], limits[1]),
        opacity=float(layer.opacity),
        smooth=smooth,
        unit=told,
    )
