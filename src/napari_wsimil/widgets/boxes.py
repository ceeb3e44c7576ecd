"""Numbered boxes that stay readable at every zoom."""

from __future__ import annotations

from typing import Any

from napari_wsimil.widgets.slide_layer import facts

THICKEST = 0.15
"""Widest outline as a share of the side of a box, for when the whole slide is in view."""

SMALLEST_NUMBERED = 28
"""A box that is smaller than this on the screen, in px, shows no number: the numbers would cover each other."""

MANY, SMALLEST_OF_MANY = 40, 80
"""Of more boxes than this the numbers only show on boxes of that size, in px: so many are noise until one looks closely."""

INSIDE = (18.0, 3.0)
"""How far down and sideways on the screen, in px, a number is moved from the corner of its box, above which napari writes it.

Of boxes that touch nobody could tell which one it belongs to.
"""


def keep_readable(viewer: Any) -> None:
    """Fit the boxes of predictions to the zoom, now and whenever it changes; a second call only does the first."""
    camera = viewer.scene.camera
    if not any(getattr(callback, "fits_boxes", False) for callback in camera.events.zoom.callbacks):

        def fit(_: Any = None) -> None:
            _fit_all(viewer)

        fit.fits_boxes = True  # type: ignore[attr-defined]
        camera.events.zoom.connect(fit)
        viewer.layers.events.inserted.connect(fit)
    _fit_all(viewer)


def _fit_all(viewer: Any) -> None:
    for layer in viewer.layers:
        if "side" in facts(layer) and len(layer.data):
            fit_boxes(layer, viewer.scene.camera.zoom)


def fit_boxes(layer: Any, zoom: float) -> None:
    """Give a layer of equal squares the line width and the numbers that suit a zoom in screen px per world unit."""
    side, pixels = facts(layer)["side"], facts(layer)["width"]
    on_screen = side * float(layer.scale[-2]) * zoom
    width = side * min(pixels / max(on_screen, 1e-9), THICKEST)
    if not 0.8 < layer.edge_width[0] / width < 1.25:
        layer.edge_width = [width] * len(layer.data)
        layer.text.translation = _into_the_box(str(layer.text.anchor), 1 / (float(layer.scale[-2]) * zoom))
        layer.refresh()  # napari 0.9 does not draw a new edge width by itself
    readable = on_screen >= (SMALLEST_OF_MANY if len(layer.data) > MANY else SMALLEST_NUMBERED)
    if layer.text.visible != readable:
        layer.text.visible = readable


def _into_the_box(corner: str, pixel: float) -> tuple[float, float]:
    """What moves a number from outside a corner of its box to inside; `pixel` is a px of the screen in units of the layer."""
    down = {"upper": INSIDE[0], "lower": -INSIDE[0]}.get(corner.partition("_")[0], 0.0)
    right = {"left": INSIDE[1], "right": -INSIDE[1]}.get(corner.partition("_")[2], 0.0)
    return down * pixel, right * pixel
