"""The colour that the overlays on the slide give to a patch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wsimil.exports.colours import attention_colours, probability_colours
from napari_wsimil.widgets.overlays.scaling import unit
from napari_wsimil.widgets.slide_layer import facts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.inference.levels import SeenPatch

PAPER = 0.92
"""What lies below a colour that is partly clear, from black to white."""


def overlay_colour(viewer: Any, prediction: SlidePrediction, seen: SeenPatch) -> tuple[float, float, float] | None:
    """Red, green and blue from 0 to 1, as the layer of this prediction and magnification shows it; None without a score.

    By attention, else by the probability of the positive class; where the layer was removed, in the colours it has at first.
    """
    if seen.attention is not None:
        layer = _layer(viewer, prediction, "attention", seen.patch.mpp, None)
        if layer is None or seen.percentile is None:
            return _on_paper(attention_colours()[round(255 * (seen.percentile or 0.0))])
        return _of_layer(layer, 100 * seen.percentile if unit(layer) == "percentile" else seen.attention)
    if seen.probability is None:
        return None
    layer = _layer(viewer, prediction, "instances", seen.patch.mpp, prediction.positive_class)
    if layer is None or unit(layer) != "probability":
        return _on_paper(probability_colours()[round(255 * seen.probability)])
    return _of_layer(layer, seen.probability)


def _layer(viewer: Any, prediction: SlidePrediction, kind: str, mpp: float, class_name: str | None) -> Any | None:
    for layer in viewer.layers:
        about = facts(layer)
        if about.get("prediction") is prediction and (about["kind"], about["mpp"], about["class"]) == (kind, mpp, class_name):
            return layer
    return None


def _of_layer(layer: Any, value: float) -> tuple[float, float, float]:
    low, high = layer.contrast_limits
    position = min(max((value - low) / (high - low), 0.0), 1.0) ** layer.gamma
    return _on_paper(layer.colormap.map(np.array([position]))[0])


def _on_paper(rgba: NDArray[Any]) -> tuple[float, float, float]:
    red, green, blue = (float(channel * rgba[3] + PAPER * (1 - rgba[3])) for channel in rgba[:3])
    return red, green, blue
