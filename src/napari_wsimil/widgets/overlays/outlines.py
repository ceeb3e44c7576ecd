"""The few patches of a prediction that are pointed out: anchors, the path of zooming, and the most attended ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wsimil.exports.colours import ANCHOR_COLOUR, TOP_COLOUR, ZOOM_COLOURS
from napari_wsimil.inference.prediction import PatchScores
from napari_wsimil.inference.ranking import rank_patches
from napari_wsimil.widgets.overlays.tags import named, slide_mpp, tag
from napari_wsimil.widgets.slide_layer import KEY, placement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.inference.prediction import PatchSet
    from napari_wsimil.widgets.overlays.tags import LayerData

MOST_BOXES = 200
"""Boxes of one layer: more take napari longer than a person notices, and nobody reads so many."""

WIDTH, FINER = 2.5, 0.6
"""Width of an outline on the screen in px, and that of the next finer level as a share of it."""

CORNERS = ("upper_left", "center", "upper_right")
"""Where the numbers of a level stand: boxes in a corner of another box would cover its number."""


def top_regions(prediction: SlidePrediction, count: int) -> PatchScores:
    """The most attended patches of the finest magnification that has attention, best first; of overlapping ones the best."""
    table = prediction.attention[min(prediction.attention)]
    best = rank_patches(prediction, count=min(count, MOST_BOXES))
    xy = np.array([(one.patch.x, one.patch.y) for one in best], np.int64).reshape(-1, 2)
    return PatchScores(xy, table.size_level0, np.array([one.score for one in best], np.float32), table.stride_level0)


def outline_layers(prediction: SlidePrediction, top: int) -> Iterator[LayerData]:
    """Anchors, the zoom path and the top regions, in the order from bottom to top; each box has the number of its rank."""
    if prediction.anchors is not None:
        name = named(prediction, "Anchors")
        yield numbered_boxes(
            prediction, name, prediction.anchors, prediction.anchors.scores, ANCHOR_COLOUR, tag(prediction, "anchors")
        )
    yield from _zoom_path(prediction)
    if prediction.attention and top:
        best = top_regions(prediction, top)
        yield numbered_boxes(
            prediction, named(prediction, "Top regions"), best, best.values, TOP_COLOUR, tag(prediction, "top")
        )


def _zoom_path(prediction: SlidePrediction) -> Iterator[LayerData]:
    """What was chosen at each magnification, coarse to fine; then what was looked at inside, most attended first."""
    chosen = prediction.zoom or {}
    levels: list[tuple[str, float, PatchSet | PatchScores, Any]] = [
        (f"Zoomed into at {mpp:g} µm/px", mpp, chosen[mpp], chosen[mpp].scores) for mpp in sorted(chosen, reverse=True)
    ]
    finest = min((mpp for mpp in prediction.attention if chosen and mpp < min(chosen)), default=None)
    if finest is not None:
        seen = prediction.attention[finest].top(MOST_BOXES)
        levels.append((f"Looked at inside, {finest:g} µm/px", finest, seen, seen.values))
    for level, (what, mpp, patches, scores) in enumerate(levels):
        colour, corner = (choice[level % len(choice)] for choice in (ZOOM_COLOURS, CORNERS))
        metadata, width = tag(prediction, "zoom", mpp), WIDTH * FINER**level
        yield numbered_boxes(prediction, named(prediction, what), patches, scores, colour, metadata, width, corner)


def numbered_boxes(
    prediction: SlidePrediction,
    name: str,
    patches: PatchScores | PatchSet,
    scores: Any,
    colour: str,
    metadata: dict[str, Any],
    width: float = WIDTH,
    corner_of_number: str = CORNERS[0],
) -> LayerData:
    """Numbered outlines of patches, best first; `width` in px on the screen."""
    corner = patches.xy[:MOST_BOXES, ::-1].astype(np.float64) - 0.5  # napari's pixel 0 reaches from -0.5 to 0.5
    side = patches.size_level0
    square = np.array([[0, 0], [0, side], [side, side], [side, 0]])
    metadata[KEY] |= {"side": side, "width": width, "colour": colour}
    options = {
        "name": name,
        "shape_type": "rectangle",
        "edge_color": colour,
        "face_color": "transparent",
        "edge_width": side * 0.04,
        "opacity": 1.0,
        "axis_labels": ("y", "x"),
        "features": {"rank": np.arange(1, len(corner) + 1), "score": np.asarray(scores)[: len(corner)]},
        "text": {"string": "{rank}", "size": 11, "color": colour, "anchor": corner_of_number, "translation": [0.0, 0.0]},
        "metadata": metadata,
        **placement(slide_mpp(prediction)),
    }
    return list(corner[:, None, :] + square), options, "shapes"
