"""A finished prediction in the viewer: layers in, older ones out, and the camera to a patch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Layer

from napari_wsimil.widgets.boxes import keep_readable
from napari_wsimil.widgets.hover import follow_cursor
from napari_wsimil.widgets.layers import model_name, prediction_layers
from napari_wsimil.widgets.overlays.aside import give_looks, keep_looks
from napari_wsimil.widgets.parts import remove
from napari_wsimil.widgets.session import session_of
from napari_wsimil.widgets.slide_layer import facts
from napari_wsimil.widgets.view_geometry import centre_on

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.patches.patch import Patch

PATCHES_ACROSS = 4.0
"""How many patches the shorter side of the canvas shows after flying to one."""


def show_prediction(viewer: Any, prediction: SlidePrediction, top: int) -> None:
    """Add the layers of a prediction in place of those that the same model left on the same slide.

    Its attention is selected, unless the user has turned to another slide meanwhile.
    """
    for _ in showing(viewer, prediction, top):
        pass


def showing(viewer: Any, prediction: SlidePrediction, top: int) -> Iterator[None]:
    """Do what `show_prediction` does in steps of a layer each, of which some cost napari a tenth of a second."""
    session = session_of(viewer)
    with session.at_once():
        meant = session.slide_layer
        elsewhere = meant is not None and facts(meant).get("fingerprint") != _fingerprint(prediction)
        theirs = viewer.layers.selection.active if elsewhere else None  # what stays selected
        replaced = [layer for layer in viewer.layers if _replaced_by(prediction, facts(layer))]
        kept = keep_looks(replaced)
        remove(viewer, replaced)
        added: list[Any] = []
        for layer in prediction_layers(prediction, top):
            yield
            selected = viewer.layers.selection.active
            if added and selected != added[-1]:  # napari selects what is added: the user has turned to something else since
                theirs = selected
            added.append(viewer.add_layer(Layer.create(*layer)))
        give_looks(added, kept)
        attention = [layer for layer in added if facts(layer).get("kind") == "attention" and layer in viewer.layers]
        attention = [layer for layer in attention if layer.visible] or attention
        if theirs in viewer.layers:
            viewer.layers.selection.active = theirs
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
