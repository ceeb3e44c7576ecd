"""Results lie on their slide, whatever size its pixels are said to have by now."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_wsimil.widgets.overlays.tags import laid_mpp
from napari_wsimil.widgets.slide_layer import KEY, facts, is_slide, placement


def fit_results(viewer: Any) -> None:
    """Lay the results in a viewer on their slides, where one was predicted with another pixel size than it has now."""
    slides = {facts(layer)["fingerprint"]: facts(layer)["mpp"] for layer in viewer.layers if is_slide(layer)}
    for layer in viewer.layers:
        about = facts(layer)
        if "prediction" in about and about.get("fingerprint") in slides:
            _lay(layer, slides[about["fingerprint"]])


def _lay(layer: Any, mpp: tuple[float, float] | None) -> None:
    """Place and scale of a result's layer grow with the pixels: what it shows stays where it is in level-0 pixels."""
    if (before := laid_mpp(layer)) == mpp:
        return
    growth = np.divide(placement(mpp)["scale"], placement(before)["scale"])
    # anew and not changed in place: layers that the user duplicated share their facts
    layer.metadata = {**layer.metadata, KEY: {**facts(layer), "laid_mpp": mpp}}
    layer.units = placement(mpp)["units"]
    layer.scale, layer.translate = layer.scale * growth, layer.translate * growth
