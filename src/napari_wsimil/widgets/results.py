"""A finished prediction in the viewer: layers in, older ones out, and the camera to a patch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Layer

from napari_wsimil.widgets.boxes import keep_readable
from napari_wsimil.widgets.hover import follow_cursor
from napari_wsimil.widgets.layers import model_name, prediction_layers
from napari_wsimil.widgets.overlays.aside import give_looks, keep_looks
from napari_wsimil.widgets.session import session_of
from napari_wsimil.widgets.slide_layer import facts
from napari_wsimil.widgets.view_geometry import centre_on

if TYPE_CHECKING:
    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.patches.patch import Patch

PATCHES_ACROSS = 4.0
"""How many patches the shorter side of the canvas shows after flying to one."""


def show_prediction(viewer: Any, prediction: SlidePrediction, top: int) -> None:
    """Add the layers of a prediction in place of those that the same model left on the same slide.

    Its attention is selected, unless the user has turned to another slide meanwhile.
    """
    session = session_of(viewer)
    with session.at_once():
        looked_at = session.slide_layer
        elsewhere = looked_at is not None and facts(looked_at).get("fingerprint") != _fingerprint(prediction)
        active = viewer.layers.selection.active
        replaced = [layer for layer in viewer.layers if _replaced_by(prediction, facts(layer))]
        kept = keep_looks(replaced)
        with viewer.layers.batched_update():
            for layer in replaced:
                viewer.layers.remove(layer)
        added = [viewer.add_layer(Layer.create(*layer)) for layer in prediction_layers(prediction, top)]
        give_looks(added, kept)
        attention = [layer for layer in added if facts(layer).get("kind") == "attention"]
        attention = [layer for layer in attention if layer.visible] or attention
        if elsewhere and active in viewer.layers:
            viewer.layers.selection.active = active
        elif attention:
            viewer.layers.selection.active = attention[-1]
    follow_cursor(viewer)
    keep_readable(viewer)


def _replaced_by(prediction: SlidePrediction, found: dict[str, Any]) -> bool:
    return (
        "prediction" in found
        and found.get("model") == model_name(prediction)
        and found.get("fingerprint") == _fingerprint(prediction)
    )


def _fingerprint(prediction: SlidePrediction) -> Any:
    return prediction.provenance.get("slide", {}).get("fingerprint")


def fly_to(viewer: Any, slide_layer: Any, patch: Patch) -> None:
    """Centre the camera on a patch of a slide and zoom in until it fills a quarter of the canvas."""
    mx, my = facts(slide_layer)["mpp"] or (1.0, 1.0)
    viewer.scene.camera.zoom = min(viewer.canvas.size) / (PATCHES_ACROSS * patch.size_level0 * max(mx, my))
    centre_on(viewer, slide_layer, *patch.centre)
