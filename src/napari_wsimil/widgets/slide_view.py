"""How slides behave in a viewer: what is switched on with a slide layer, and off when it is gone."""

from __future__ import annotations

from typing import Any

from napari.layers import Shapes
from qtpy.QtCore import QTimer

from napari_wsimil.widgets.fitting import fit_results
from napari_wsimil.widgets.hover import follow_cursor
from napari_wsimil.widgets.locked_level import protect
from napari_wsimil.widgets.overlays.tags import is_converted
from napari_wsimil.widgets.preferences import colour_for, preferences
from napari_wsimil.widgets.prefetch import Prefetcher
from napari_wsimil.widgets.slide_layer import KEY, facts, is_slide
from napari_wsimil.widgets.smooth_panning import smooth_panning

SCALE_BAR_FONT = 12


def watch(viewer: Any) -> None:
    """From now on look after the slides of a viewer, and those it has; a second call changes nothing."""
    inserted, removed = viewer.layers.events.inserted, viewer.layers.events.removed
    if any(getattr(callback, "watches_slides", False) for callback in inserted.callbacks):
        return
    view = SlideView(viewer)

    def arrived(event: Any) -> None:
        view.add(event.value)

    def left(event: Any) -> None:
        view.remove(event.value)

    arrived.watches_slides = True  # type: ignore[attr-defined]
    inserted.connect(arrived)
    removed.connect(left)
    follow_cursor(viewer)
    for layer in viewer.layers:
        view.add(layer)


class SlideView:
    """The slide layers of one viewer.

    Parameters
    ----------
    viewer
        A napari viewer with a window.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._prefetchers: dict[Any, Prefetcher] = {}
        self._scale_bar_shown = False

    def add(self, layer: Any) -> None:
        """Look after a layer, if it shows a slide."""
        if is_converted(layer):
            layer.metadata = {name: value for name, value in layer.metadata.items() if name != KEY}
        if "prediction" in facts(layer):
            fit_results(self._viewer)
        if not is_slide(layer) or layer in self._prefetchers:
            return
        smooth_panning.add(layer)
        protect(layer)
        self._prefetchers[layer] = Prefetcher(self._viewer.scene.camera, layer)
        preferences().events.colours.connect(self._recolour)
        layer.events.units.connect(self._show_scale_bar)
        layer.events.metadata.connect(self._fit_results)
        self._fit_results()
        self._show_scale_bar()
        # when napari has done what it does with a new layer
        QTimer.singleShot(0, lambda: self._lay_beneath(layer))

    def remove(self, layer: Any) -> None:
        """The layer is gone."""
        if isinstance(layer, Shapes) and "prediction" in facts(layer):
            # buttons of napari 0.9 keep every layer of shapes for ever; the prediction behind it is let go
            layer.metadata = {}
        prefetcher = self._prefetchers.pop(layer, None)
        if prefetcher is not None:
            prefetcher.close()
            layer.events.units.disconnect(self._show_scale_bar)
            layer.events.metadata.disconnect(self._fit_results)
            smooth_panning.remove(layer)

    def _show_scale_bar(self, _: Any = None) -> None:
        """Once in the life of a viewer, with its first slide of known pixel size: whoever hides it wants it hidden."""
        bar = self._viewer.canvas.overlays.scale_bar
        if self._scale_bar_shown or not any(facts(layer)["mpp"] for layer in self._prefetchers):
            return
        self._scale_bar_shown = True
        bar.box = True
        bar.font_size = SCALE_BAR_FONT
        bar.visible = True

    def _fit_results(self, _: Any = None) -> None:
        """A slide came, or got another pixel size."""
        fit_results(self._viewer)

    def _lay_beneath(self, layer: Any) -> None:
        """Put a slide that came after what belongs on it below that, which it would cover."""
        if layer not in self._prefetchers:
            return
        layers, fingerprint = self._viewer.layers, facts(layer)["fingerprint"]
        here = layers.index(layer)
        covered = [
            at for at, other in enumerate(layers) if not is_slide(other) and facts(other).get("fingerprint") == fingerprint
        ]
        if covered and covered[0] < here:
            layers.move(here, covered[0])

    def _recolour(self, _: Any = None) -> None:
        """Show the open slides in the colours that were chosen in the preferences just now."""
        for layer in self._prefetchers:
            slide = layer.data[0].pixels.slide
            if slide.icc_profile is not None:
                layer.data = slide.pyramid(colour_for(slide))
