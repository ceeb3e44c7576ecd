"""Where the cursor is on a slide, in words."""

from __future__ import annotations

import math
from typing import Any

from napari_wsimil.widgets.slide_layer import facts, is_slide


def place_text(viewer: Any) -> str:
    """The place under the cursor on the slide: "x 12,345.6 µm, y 8,765.4 µm  (24,691, 17,530 px)  level 2 · 1 µm/px".

    Of the selected slide, else of the topmost one that is shown there, whichever layer is active; "" beside the slides.
    """
    active = viewer.layers.selection.active
    shown = [layer for layer in reversed(viewer.layers) if layer.visible and is_slide(layer)]
    for layer in sorted(shown, key=lambda layer: layer is not active):
        text = on_slide(layer, viewer.cursor.position)
        if text:
            return text
    return ""


def on_slide(layer: Any, position: Any) -> str:
    """The words about a world position on one slide layer; "" outside the slide."""
    row, column = layer.world_to_data(position)[-2:]
    # napari's pixel 0 has its centre at 0; a slide is measured from its corner.
    x, y = float(column) + 0.5, float(row) + 0.5
    height, width = layer.data[0].shape[:2]
    if not (0 <= x < width and 0 <= y < height):
        return ""
    pixel = f"{math.floor(x):,}, {math.floor(y):,} px"
    downsample = width / layer.data[layer.data_level].shape[1]
    mpp = facts(layer)["mpp"]
    if mpp is None:
        return f"({pixel})  level {layer.data_level} · 1:{downsample:.4g}"
    return (
        f"x {x * mpp[0]:,.1f} µm, y {y * mpp[1]:,.1f} µm  ({pixel})  level {layer.data_level} · {mpp[0] * downsample:.3g} µm/px"
    )
