"""A comparison on the slide: one heatmap on top of the other, side by side, or as a map of the differences.

All of it is done with layers of its own, which are gone afterwards; what was shown before is put aside meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.layers import Image

from napari_wsimil.widgets.compare.colours import difference_colormap
from napari_wsimil.widgets.compare.second_view import SecondView
from napari_wsimil.widgets.compare.words import FONT_SIZE, CanvasWords, unit_words
from napari_wsimil.widgets.overlays.aside import bring_back, put_aside
from napari_wsimil.widgets.overlays.rasters import attention_colormap, placed, probability_colormap
from napari_wsimil.widgets.slide_layer import KEY, facts

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_wsimil.inference import PatchScores
    from napari_wsimil.inference.comparison import Comparison

View = Literal["off", "blend", "side by side", "difference"]

KIND = "compared"
OPACITY = 0.75
"""Of a heatmap that is alone in its place; faded into each other, both together have it."""

BAR = (18, 150)
"""Width and height of the colour bar in px."""

WIDEST = 99
"""The limits of a map of differences: this percentile of their sizes."""


class OnTheSlide:
    """Shows a comparison in a viewer, and takes it away again.

    Parameters
    ----------
    viewer
        The napari viewer.
    on_end
        Called when the user ended it: by removing a layer of it, or by leaving napari's grid.
    """

    def __init__(self, viewer: Any, on_end: Callable[[], None]) -> None:
        self._viewer = viewer
        self._on_end = on_end
        self._layers: list[Any] = []
        self._aside: list[Any] = []
        self._active: Any = None
        self._faded: tuple[Any, Any] | None = None
        self._words = CanvasWords(viewer)
        self._second = SecondView(viewer, self._ended)
        self._busy = False
        viewer.layers.events.removed.connect(self._left)

    @property
    def shown(self) -> bool:
        """Whether a comparison is on the slide."""
        return bool(self._layers)

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
        self._busy = True
        try:
            self._clear()
            if view == "off":
                self._restore()
                return
            self._begin(facts(slide_layer)["fingerprint"])
            if view == "difference":
                self._add(self._difference(comparison, slide_layer))
                first, second = comparison.names
                self._words.show({"top_left": f"Orange: higher in {first}\nBlue: higher in {second}"})
            else:
                self._show_both(view, comparison, slide_layer, share)
        finally:
            self._busy = False

    def fade(self, share: float) -> None:
        """Let the second be seen by this share, and the first by the rest."""
        if self._faded is not None:
            for layer, part in zip(self._faded, (1 - share, share), strict=True):
                layer.opacity = OPACITY * part

    def end(self) -> None:
        """Take it away and show what was shown before."""
        self._busy = True
        try:
            self._clear()
            self._restore()
        finally:
            self._busy = False

    def close(self) -> None:
        """End, for good."""
        self._viewer.layers.events.removed.disconnect(self._left)
        self.end()

    def _show_both(self, view: View, comparison: Comparison, slide_layer: Any, share: float) -> None:
        first, second = (
            self._heatmap(comparison, scores, name, slide_layer)
            for scores, name in zip((comparison.first, comparison.second), comparison.names, strict=True)
        )
        self._add(first)
        if view == "blend":
            self._add(second)
            self._faded = first, second
            self.fade(share)
            self._words.show({"top_left": unit_words(comparison).capitalize()})
            return
        texts = [f"{name}\n{unit_words(comparison)}" for name in comparison.names]
        self._words.show(dict(zip(("top_left", "top_right"), texts, strict=True)))
        self._layers.append(second)
        self._second.open(slide_layer, second)
        self._viewer.layers.selection.active = first

    def _begin(self, fingerprint: str) -> None:
        """Put aside what would cover it, and remember which layer was chosen."""
        if self._active is None:
            self._active = self._viewer.layers.selection.active
        ours = [layer for layer in self._viewer.layers if facts(layer).get("fingerprint") == fingerprint]
        hidden = put_aside(layer for layer in ours if "prediction" in facts(layer))
        self._aside += [layer for layer in hidden if layer not in self._aside]

    def _clear(self) -> None:
        self._second.close()
        self._words.show({})
        self._faded = None
        layers, self._layers = self._layers, []
        for layer in layers:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def _restore(self) -> None:
        bring_back(layer for layer in self._aside if layer in self._viewer.layers)
        if self._active is not None and self._active in self._viewer.layers:
            self._viewer.layers.selection.active = self._active
        self._aside, self._active = [], None

    def _add(self, layer: Any) -> None:
        self._viewer.layers.append(layer)
        self._layers.append(layer)
        self._viewer.layers.selection.active = layer
        if len(self._layers) == 1:  # the other heatmap has the same colours
            bar = layer.colorbar
            bar.size, bar.font_size, bar.box, bar.visible = BAR, FONT_SIZE, True, True

    def _heatmap(self, comparison: Comparison, scores: PatchScores, name: str, slide_layer: Any) -> Any:
        values, options = self._placed(comparison, scores, slide_layer)
        if comparison.scale == "probability":
            options |= {"colormap": probability_colormap(), "contrast_limits": (0.0, 1.0)}
        else:
            high = 100.0 if comparison.scale == "percentile" else _high(values, 98)
            options |= {"colormap": attention_colormap(), "contrast_limits": (0.0, high)}
        return Image(values, name=f"{name} · {unit_words(comparison)}", opacity=OPACITY, **options)

    def _difference(self, comparison: Comparison, slide_layer: Any) -> Any:
        values, options = self._placed(comparison, comparison.difference, slide_layer)
        limit = _high(np.abs(values), WIDEST)
        options |= {"colormap": difference_colormap(), "contrast_limits": (-limit, limit), "opacity": OPACITY}
        first, second = comparison.names
        return Image(values, name=f"{first} − {second} · {unit_words(comparison)}", **options)

    def _placed(self, comparison: Comparison, scores: PatchScores, slide_layer: Any) -> tuple[NDArray[Any], dict[str, Any]]:
        found = facts(slide_layer)
        values, options = placed(scores, found["mpp"])
        about = {"kind": KIND, "fingerprint": found["fingerprint"], "path": found["path"]}
        factor = 100 if comparison.scale == "percentile" else 1
        return values * np.float32(factor), {**options, "metadata": {KEY: about}}

    def _left(self, event: Any) -> None:
        if not self._busy and event.value in self._layers:
            self._ended()

    def _ended(self) -> None:
        self.end()
        self._on_end()


def _high(values: NDArray[Any], percentile: float) -> float:
    """A round number that few values exceed: round, so that the colour bar has a number at its ends."""
    known = values[np.isfinite(values)]
    high = float(np.percentile(known, percentile)) if len(known) else 1.0
    if high <= 0:
        return 1.0
    unit = 10.0 ** np.floor(np.log10(high))
    return float(next(step * unit for step in (1, 2, 5, 10) if step * unit >= high * (1 - 1e-6)))
