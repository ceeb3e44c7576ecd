"""A comparison on the slide: one heatmap on top of the other, side by side, or as a map of the differences.

All of it is done with layers of its own, which are gone afterwards; what was shown before is put aside meanwhile. From one view
to the next they are only shown and hidden, which is quicker than to make them anew.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.layers import Image

from napari_wsimil.widgets.compare.colours import difference_colormap
from napari_wsimil.widgets.compare.second_view import SecondView
from napari_wsimil.widgets.compare.words import FONT_SIZE, CanvasWords, shortened, unit_words
from napari_wsimil.widgets.overlays.aside import bring_back, put_aside
from napari_wsimil.widgets.overlays.rasters import attention_colormap, placed, probability_colormap
from napari_wsimil.widgets.overlays.scaling import redraw
from napari_wsimil.widgets.slide_layer import KEY, facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_wsimil.inference.comparison import Comparison

View = Literal["off", "blend", "side by side", "difference"]

KIND = "compared"
OPACITY = 0.75
"""Of a heatmap that is alone in its place; faded into each other, both together have it."""

BAR = (18, 150)
"""Width and height of the colour bar in px."""

WIDEST = 99
"""The limits of a map of differences: this percentile of their sizes."""

_NEEDED = {"blend": ("first", "second"), "side by side": ("first", "second"), "difference": ("difference",)}


class OnTheSlide:
    """Shows a comparison in a viewer, and takes it away again.

    Parameters
    ----------
    viewer
        The napari viewer.
    on_left
        Called when the user wants it to end: by removing a layer of it, or by leaving napari's grid. It is not the time to
        change other layers then: the viewer may be removing them all.
    """

    def __init__(self, viewer: Any, on_left: Callable[[], None]) -> None:
        self._viewer = viewer
        self._on_left = on_left
        self._layers: dict[str, Any] = {}
        self._drawn: dict[str, Comparison] = {}
        self._aside: list[Any] = []
        self._active: Any = None
        self._fading = False
        self._words = CanvasWords(viewer)
        self._second = SecondView(viewer, on_left)
        self._busy = False
        viewer.layers.events.removed.connect(self._gone)

    @property
    def shown(self) -> bool:
        """Whether a comparison is on the slide."""
        return bool(self._layers)

    @property
    def left(self) -> bool:
        """Whether any of its layers is still in the viewer; one that is closed has none."""
        return any(layer in self._viewer.layers for layer in self._layers.values())

    def show(self, view: View, comparison: Comparison, slide_layer: Any, share: float) -> None:
        """Show a comparison in one of its views, in place of the one before.

        Parameters
        ----------
        view
            Which; "off" takes it away.
        slide_layer
            The layer of the slide that both predictions are of.
        share
            How much of the second is seen in "blend", from 0 to 1.
        """
        if view == "off":
            self.end()
            return
        with self._on_our_own():
            self._begin(facts(slide_layer)["fingerprint"])
            self._second.close()
            for name in dict.fromkeys((*_NEEDED[view], *self._layers)):
                self._draw(name, comparison, slide_layer)
            for name, layer in self._layers.items():
                layer.visible = name in _NEEDED[view]
                layer.opacity = OPACITY
            if view == "side by side":
                self._second.open(slide_layer, self._layers["second"])
            self._fading = view == "blend"
            self.fade(share)
            self._explain(view, comparison)

    def fade(self, share: float) -> None:
        """Let the second be seen by this share, and the first by the rest."""
        if self._fading:
            self._layers["first"].opacity = OPACITY * (1 - share)
            self._layers["second"].opacity = OPACITY * share

    def end(self) -> None:
        """Take it away and show what was shown before."""
        if not self._layers:
            return
        # napari cleans up after each layer that goes, which takes long; in a batch, once
        with self._on_our_own(), self._viewer.layers.batched_update():
            self._second.end()
            self._words.show({})
            layers, self._layers, self._drawn, self._fading = self._layers.values(), {}, {}, False
            for layer in layers:
                if layer in self._viewer.layers:
                    self._viewer.layers.remove(layer)
            bring_back(layer for layer in self._aside if layer in self._viewer.layers)
            if self._active is not None and self._active in self._viewer.layers:
                self._viewer.layers.selection.active = self._active
            self._aside, self._active = [], None

    def close(self) -> None:
        """End, for good."""
        self._viewer.layers.events.removed.disconnect(self._gone)
        if self.left:
            self.end()

    @contextmanager
    def _on_our_own(self) -> Iterator[None]:
        """What is removed meanwhile, the user did not remove."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    def _begin(self, fingerprint: str) -> None:
        """Put aside what would cover it, and remember which layer was chosen."""
        if not self._layers:
            self._active = self._viewer.layers.selection.active
        ours = [layer for layer in self._viewer.layers if facts(layer).get("fingerprint") == fingerprint]
        hidden = put_aside(layer for layer in ours if "prediction" in facts(layer))
        self._aside += [layer for layer in hidden if layer not in self._aside]

    def _draw(self, name: str, comparison: Comparison, slide_layer: Any) -> None:
        """Have one of the layers show its part of a comparison."""
        if self._drawn.get(name) is comparison:
            return
        values, options = _look(name, comparison, slide_layer)
        if name in self._layers:
            _update(self._layers[name], values, options)
        else:
            self._layers[name] = self._viewer.add_layer(Image(values, **options))
        self._drawn[name] = comparison

    def _explain(self, view: View, comparison: Comparison) -> None:
        """The colour bar, which is one for both heatmaps, and words in the corners; the explained layer is selected."""
        told = _NEEDED[view][0]
        for name, layer in self._layers.items():
            bar = layer.colorbar
            bar.size, bar.font_size, bar.box = BAR, FONT_SIZE, True
            # side by side, the words of the second cell may reach into the first
            bar.position = "bottom_left" if view == "side by side" else "top_right"
            bar.visible = name == told
        self._viewer.layers.selection.active = self._layers[told]
        unit = unit_words(comparison)
        room = self._viewer.canvas.size[1] // (2 if view == "side by side" else 1)
        first, second = (shortened(name, room) for name in comparison.names)
        texts = {
            "difference": {"top_left": f"Orange: higher in {first}\nBlue: higher in {second}"},
            "blend": {"top_left": unit[:1].upper() + unit[1:]},
            "side by side": {"top_left": first, "top_right": second},
        }
        self._words.show(texts[view])

    def _gone(self, event: Any) -> None:
        if not self._busy and event.value in self._layers.values():
            self._on_left()


def _look(name: str, comparison: Comparison, slide_layer: Any) -> tuple[NDArray[Any], dict[str, Any]]:
    """Values and looks of the layer called "first", "second" or "difference"."""
    found = facts(slide_layer)
    values, options = placed(getattr(comparison, name), found["mpp"])
    if comparison.scale == "percentile":
        values = values * np.float32(100)
    unit, (first, second) = unit_words(comparison), comparison.names
    title = {"first": first, "second": second, "difference": f"{first} − {second}"}[name]
    if name == "difference":
        limit = _high(np.abs(values), WIDEST)
        options |= {"colormap": difference_colormap(), "contrast_limits": (-limit, limit)}
    elif comparison.scale == "probability":
        options |= {"colormap": probability_colormap(), "contrast_limits": (0.0, 1.0)}
    else:
        both = np.concatenate([comparison.first.values, comparison.second.values])
        high = 100.0 if comparison.scale == "percentile" else _high(both, 98)
        options |= {"colormap": attention_colormap(), "contrast_limits": (0.0, high)}
    about = {"kind": KIND, "fingerprint": found["fingerprint"], "path": found["path"]}
    return values, {**options, "name": f"{title} · {unit}", "metadata": {KEY: about}}


def _update(layer: Any, values: NDArray[Any], options: dict[str, Any]) -> None:
    """Let a layer show other values."""
    redraw(layer, values)
    layer.name, layer.colormap = options["name"], options["colormap"]
    layer.scale, layer.translate = options["scale"], options["translate"]
    layer.contrast_limits_range = options["contrast_limits"]
    layer.contrast_limits = options["contrast_limits"]


def _high(values: NDArray[Any], percentile: float) -> float:
    """A round number that few values exceed: round, so that the colour bar has a number at its ends."""
    known = values[np.isfinite(values)]
    high = float(np.percentile(known, percentile)) if len(known) else 1.0
    if high <= 0:
        return 1.0
    unit = 10.0 ** np.floor(np.log10(high))
    return float(next(step * unit for step in (1, 2, 5, 10) if step * unit >= high * (1 - 1e-6)))
