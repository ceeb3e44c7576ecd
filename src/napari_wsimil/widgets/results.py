"""A finished prediction in the viewer: layers in, older ones out, and the camera to a patch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Layer

from napari_wsimil.widgets.boxes import keep_readable
from napari_wsimil.widgets.hover import follow_cursor
from napari_wsimil.widgets.layers import model_name, prediction_layers, slide_mpp
from napari_wsimil.widgets.slide_layer import facts

if TYPE_CHECKING:
    from napari_wsimil.inference import PatchScores, SlidePrediction

PATCHES_ACROSS = 4.0
"""How many patches the shorter side of the canvas shows after flying to one."""


def show_prediction(viewer: Any, prediction: SlidePrediction, top: int) -> None:
    """Add the layers of a prediction in place of those that the same model left on the same slide; select the attention."""
    for layer in [layer for layer in viewer.layers if _replaced_by(prediction, facts(layer))]:
        viewer.layers.remove(layer)
    added = [viewer.add_layer(Layer.create(*layer)) for layer in prediction_layers(prediction, top)]
    attention = [layer for layer in added if facts(layer).get("kind") == "attention"]
    if attention:
        viewer.layers.selection.active = attention[-1]
    follow_cursor(viewer)
    keep_readable(viewer)


def _replaced_by(prediction: SlidePrediction, found: dict[str, Any]) -> bool:
    slide = prediction.provenance.get("slide", {})
    return (
        "prediction" in found
        and found.get("model") == model_name(prediction)
        and found.get("fingerprint") == slide.get("fingerprint")
    )


def prediction_on(viewer: Any, slide_layer: Any) -> SlidePrediction | None:
    """The prediction of a slide whose layers lie on top of the others."""
    fingerprint = facts(slide_layer)["fingerprint"]
    for layer in reversed(viewer.layers):
        found = facts(layer)
        if "prediction" in found and found.get("fingerprint") == fingerprint:
            prediction: SlidePrediction = found["prediction"]
            return prediction
    return None


def fly_to(viewer: Any, prediction: SlidePrediction, region: PatchScores, row: int) -> None:
    """Centre the camera on one patch and zoom in until it fills a quarter of the canvas."""
    mx, my = slide_mpp(prediction) or (1.0, 1.0)
    x0, y0, x1, y1 = region.boxes()[row]
    viewer.scene.camera.center = (((y0 + y1) / 2 - 0.5) * my, ((x0 + x1) / 2 - 0.5) * mx)
    viewer.scene.camera.zoom = min(viewer.canvas.size) / (PATCHES_ACROSS * region.size_level0 * max(mx, my))
