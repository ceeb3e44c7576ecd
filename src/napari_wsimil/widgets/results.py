"""A finished prediction in the viewer: layers in, older ones out, and the camera to a patch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Layer

from napari_wsimil.widgets.boxes import keep_readable
from napari_wsimil.widgets.hover import follow_cursor
from napari_wsimil.widgets.layers import model_name, prediction_layers
from napari_wsimil.widgets.slide_layer import facts
from napari_wsimil.widgets.view_geometry import centre_on

if TYPE_CHECKING:
    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.patches.patch import Patch

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


def fly_to(viewer: Any, slide_layer: Any, patch: Patch) -> None:
    """Centre the camera on a patch of a slide and zoom in until it fills a quarter of the canvas."""
    mx, my = facts(slide_layer)["mpp"] or (1.0, 1.0)
    viewer.scene.camera.zoom = min(viewer.canvas.size) / (PATCHES_ACROSS * patch.size_level0 * max(mx, my))
    centre_on(viewer, slide_layer, *patch.centre)
