"""The legend on the canvas: napari's colour bar of one raster, with a line that says what its numbers are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components.overlays import TextOverlay

from napari_wsimil.widgets.overlays.scaling import unit
from napari_wsimil.widgets.overlays.tags import is_scored, overlays_of, title
from napari_wsimil.widgets.session import session_of
from napari_wsimil.widgets.slide_layer import facts

if TYPE_CHECKING:
    from napari_wsimil.inference import SlidePrediction

NAME = "wsimil_legend"
"""Of the title among the viewer's canvas overlays."""

CORNER = "top_left"
"""There overlays stand below each other unless the user has it otherwise; the scale bar is at the bottom."""

FONT_SIZE = 10
BAR = (18, 200)
"""Width and height of the bar in px."""


_EVENTS = frozenset({"inserted", "removed", "reordered", "visible", "name", "metadata", "contrast_limits"})
"""Of layers, after which the legend may be another."""


def legend_of(viewer: Any) -> Legend:
    """The one legend of a viewer, which is made when it is first asked for and lives as long as the viewer."""
    events = viewer.layers.events
    for callback in events.callbacks:
        found: Legend | None = getattr(callback, "legend", None)
        if found is not None:
            return found
    legend = Legend(viewer)

    def refresh(event: Any = None) -> None:
        if getattr(event, "type", "active") in {*_EVENTS, "active"}:
            legend.refresh()

    refresh.legend = legend  # type: ignore[attr-defined]
    events.connect(refresh)
    viewer.layers.selection.events.active.connect(refresh)
    session_of(viewer).prediction_changed.connect(refresh)
    legend.refresh()
    return legend


class Legend:
    """Get one with `legend_of`. It shows the colour bar of the raster that is looked at, and of no other."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._session = session_of(viewer)
        self._layer: Any = None
        self._on = True

    @property
    def on(self) -> bool:
        """Whether a legend is wanted."""
        return self._on

    @property
    def layer(self) -> Any | None:
        """The layer whose colour bar is shown, or None."""
        return self._layer

    def turn(self, on: bool) -> None:
        """Show a legend from now on, or none."""
        self._on = on
        self.refresh()

    def refresh(self) -> None:
        """See which raster is looked at now."""
        self._show(legend_layer(self._viewer, self._session.prediction) if self._on else None)

    def _show(self, layer: Any | None) -> None:
        if self._layer is not None and self._layer != layer:
            self._layer.colorbar.visible = False
        words = self._title()
        if layer is not None:
            words.text = words_of(layer)
            bar = layer.colorbar
            bar.position, bar.size, bar.font_size, bar.box = CORNER, BAR, FONT_SIZE, True
            bar.visible = True
        words.visible = layer is not None
        self._layer = layer

    def _title(self) -> Any:
        overlays = self._viewer.canvas.overlays
        if NAME not in overlays:
            overlays[NAME] = TextOverlay(position=CORNER, font_size=FONT_SIZE, box=True)
        return overlays[NAME]


def legend_layer(viewer: Any, prediction: SlidePrediction | None) -> Any | None:
    """The raster that a legend explains: the active one, else the topmost one that is shown; None without any."""
    shown = [layer for layer in overlays_of(viewer, prediction) if is_scored(layer) and layer.visible]
    active = viewer.layers.selection.active
    return active if active in shown else next(iter(shown), None)


def words_of(layer: Any) -> str:
    """What the numbers of a raster are: "Attention, up to 0.000039", "Attention, percentile" or "P(tumour)".

    The bar itself writes so small numbers as 2e-05, and none at its upper end.
    """
    name = f"P({facts(layer)['class']})" if facts(layer)["kind"] == "instances" else title(layer)
    if unit(layer) == "attention":
        highest = np.format_float_positional(layer.contrast_limits[1], precision=2, fractional=False, trim="-")
        return f"{name}, up to {highest}"
    return f"{name}, percentile" if unit(layer) == "percentile" else name
