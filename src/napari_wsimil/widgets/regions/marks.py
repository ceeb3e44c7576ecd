"""What the gallery shows on the slide: numbered boxes of its regions, and a box around the one under the mouse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer, Shapes

from napari_wsimil.exports.colours import TOP_COLOUR
from napari_wsimil.inference.prediction import PatchSet
from napari_wsimil.units import Level0Pixels
from napari_wsimil.widgets.boxes import fit_boxes, keep_readable
from napari_wsimil.widgets.overlays.outlines import numbered_boxes
from napari_wsimil.widgets.overlays.tags import named, tag
from napari_wsimil.widgets.session import session_of
from napari_wsimil.widgets.slide_layer import KEY, facts, placement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.inference.ranking import RankedPatch
    from napari_wsimil.patches.patch import Patch

MARK_COLOUR = "#00e5ff"
"""Cyan: seen on pink tissue, on a heatmap and beside the blue boxes, by colour-blind people too."""

MARK_WIDTH = 4.0
MARK = "Marked region"


class RegionMarks:
    """Boxes on the slides of one viewer.

    Parameters
    ----------
    viewer
        The napari viewer.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._mark: Any = None

    def number(self, prediction: SlidePrediction, regions: Sequence[RankedPatch], what: str) -> None:
        """Make the boxes of the top regions of a prediction those of `regions`, with their ranks; `what` names the layer."""
        name = named(prediction, what)
        layer = self._boxes_of(prediction)
        if not regions:
            if layer is not None:
                layer.data, layer.name = [], name
            return
        size = regions[0].patch.size_level0
        xy = np.array([(one.patch.x, one.patch.y) for one in regions], np.int64)
        scores = np.array([one.score for one in regions], np.float32)
        made = numbered_boxes(
            prediction, name, PatchSet(xy, Level0Pixels(size), scores), scores, TOP_COLOUR, tag(prediction, "top")
        )
        if layer is None:
            self._add(Layer.create(*made))
        else:
            _update(layer, *made[:2])
        keep_readable(self._viewer)

    def mark(self, slide_layer: Any | None, patch: Patch | None) -> None:
        """Put the mark around a patch, or hide it."""
        shown = self._mark is not None and self._mark in self._viewer.layers
        if patch is None or slide_layer is None:
            if shown and self._mark.visible:
                self._mark.visible = False
            return
        scale = placement(facts(slide_layer)["mpp"])["scale"]
        if not shown or facts(self._mark)["side"] != patch.size_level0 or tuple(self._mark.scale) != scale:
            self.forget()
            self._mark = _made_mark(slide_layer, patch)
            self._add(self._mark)
        # half the work of new data
        self._mark.translate = _corner(self._mark, patch)
        fit_boxes(self._mark, self._viewer.scene.camera.zoom)
        if not self._mark.visible:
            self._mark.visible = True

    def forget(self) -> None:
        """Take the mark away; it comes back on top of all layers."""
        if self._mark is not None and self._mark in self._viewer.layers:
            self._viewer.layers.remove(self._mark)
        self._mark = None

    def _boxes_of(self, prediction: SlidePrediction) -> Any | None:
        for layer in self._viewer.layers:
            about = facts(layer)
            if about.get("kind") == "top" and about.get("prediction") is prediction:
                return layer
        return None

    def _add(self, layer: Any) -> None:
        """Add a layer; the one that the user chose stays chosen."""
        layers = self._viewer.layers
        chosen, active = set(layers.selection), layers.selection.active
        with session_of(self._viewer).at_once():
            layers.append(layer)
            if active is not None:
                layers.selection = chosen
                layers.selection.active = active


def _update(layer: Any, data: list[Any], options: dict[str, Any]) -> None:
    """Turn a layer of boxes into another, drawing anew only what differs."""
    layer.name = options["name"]
    side = options["metadata"][KEY]["side"]
    same = len(layer.data) == len(data) and np.array_equal(np.asarray(layer.data), np.asarray(data))
    if not same:
        layer.selected_data = set()
        layer.metadata[KEY]["side"] = side
        layer.data = data
        # napari gives additional shapes a line of 1 and the colours that were set last
        if len(set(layer.edge_width)) > 1:
            layer.edge_width, layer.edge_color, layer.face_color = side * 0.04, options["edge_color"], options["face_color"]
    layer.features = options["features"]


def _made_mark(slide_layer: Any, patch: Patch) -> Shapes:
    """A square with its corner at the origin, which is put where it belongs."""
    about, side = facts(slide_layer), patch.size_level0
    layer = Shapes(
        [np.array([(0, 0), (0, side), (side, side), (side, 0)])],
        shape_type="rectangle",
        name=MARK,
        edge_color=MARK_COLOUR,
        face_color="transparent",
        edge_width=side * 0.04,
        opacity=1.0,
        axis_labels=("y", "x"),
        metadata={KEY: {"kind": "mark", "fingerprint": about["fingerprint"], "side": side, "width": MARK_WIDTH}},
        **placement(about["mpp"]),
    )
    layer.editable = False
    return layer


def _corner(layer: Any, patch: Patch) -> tuple[float, float]:
    """Where the corner of a patch is in the world, (row, column); napari's pixel 0 reaches from -0.5 to 0.5."""
    return (patch.y - 0.5) * layer.scale[0], (patch.x - 0.5) * layer.scale[1]
