"""The heatmap of a prediction that is still running: it fills in on the slide, and makes room for the result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from napari.utils.color import ColorValue

from napari_wsimil.widgets.hover import follow_cursor
from napari_wsimil.widgets.layers import attention_look, layer_name, placed
from napari_wsimil.widgets.overlays.aside import bring_back, put_aside
from napari_wsimil.widgets.overlays.scaling import redraw
from napari_wsimil.widgets.parts import remove
from napari_wsimil.widgets.slide_layer import KEY, facts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.inference import PatchScores
    from napari_wsimil.inference.progress import Provisional

LIVE_SECONDS = 1.0
"""Time between two states of the heatmap: each is a pass of the model over what is there, and a new texture."""

WHAT = "Attention (provisional)"

WAITING = -1.0
"""Value of what is not encoded yet: below all attention, and so below the contrast limits."""

VEIL = (0.25, 0.27, 0.32, 0.5)
"""Red, green, blue and opacity of what is not encoded yet."""


@dataclass(frozen=True)
class Drawn:
    """A provisional heatmap, ready to be shown.

    Attributes
    ----------
    mpp
        Magnification of its patches, µm per pixel.
    scores
        Attention of all patches of that magnification, NaN where not known yet.
    values
        (rows, columns) float32 raster, NaN where nothing is known.
    options
        Where it lies and how it is coloured, as a napari layer takes it.
    """

    mpp: float
    scores: PatchScores
    values: NDArray[np.float32]
    options: dict[str, Any]


def draw(provisional: Provisional, slide_mpp: tuple[float, float] | None, veil: bool = True) -> Drawn:
    """Spread provisional attention over its raster; takes long for large slides, so call it in the job's thread.

    Parameters
    ----------
    provisional
        From the job's progress.
    slide_mpp
        (x, y) µm per level-0 pixel of the slide.
    veil
        Whether a veil lies on patches that are not encoded yet: where low attention is clear, they would look alike.
    """
    scores = provisional.attention
    values, options = placed(scores, slide_mpp)
    look = attention_look(values)
    if veil:
        everywhere, _ = placed(replace(scores, values=np.zeros(len(scores), np.float32)), slide_mpp)
        low, high = look["contrast_limits"]
        # the lower limit itself would be drawn as veil too
        known = np.maximum(values, np.float32(low + 0.005 * (high - low)))
        values = np.where(np.isnan(values) & ~np.isnan(everywhere), np.float32(WAITING), known)
        look["colormap"] = look["colormap"].model_copy(update={"low_color": ColorValue(VEIL)})
    return Drawn(provisional.mpp, scores, values, options | look)


class LiveHeatmap:
    """The provisional layers of one running job, one for each magnification that the model looks at, as in the result.

    Layers that the same model left on the slide before are hidden meanwhile: two heatmaps of one model on top of each other
    can't be read.

    Parameters
    ----------
    viewer
        The napari viewer.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._slide: dict[str, Any] = {}
        self._model = ""
        self._layers: dict[float, Any] = {}
        self._hidden: list[Any] = []
        self._limits = (0.0, 1.0)
        self._chosen: Any = None

    @property
    def shown(self) -> bool:
        """Whether a provisional heatmap is on the slide."""
        return any(layer in self._viewer.layers for layer in self._layers.values())

    def begin(self, slide_layer: Any, model: str) -> None:
        """A job of the model that layers call `model` starts on a slide."""
        self.end()
        self._slide, self._model = facts(slide_layer), model

    def show(self, drawn: Drawn) -> None:
        """Show a newer state; a layer that the user took away does not come back."""
        layer = self._layers.get(drawn.mpp)
        if layer is None:
            self._add(drawn)
        elif layer in self._viewer.layers:
            _update(layer, drawn, self._limits)
        self._limits = drawn.options["contrast_limits"]

    def end(self) -> None:
        """Take the provisional layers away and show again what was hidden for them."""
        remove(self._viewer, self._layers.values())
        bring_back(self._hidden)
        if self._viewer.layers.selection.active is None and self._chosen in self._viewer.layers:
            self._viewer.layers.selection.active = self._chosen
        self._layers, self._hidden, self._chosen = {}, [], None

    def _add(self, drawn: Drawn) -> None:
        if not self._layers:
            self._hide_earlier()
        layer = Image(drawn.values, name=layer_name(WHAT, self._model, None), metadata=self._tag(drawn), **drawn.options)
        layers = self._viewer.layers
        chosen, active = set(layers.selection), layers.selection.active
        layers.append(layer)
        self._layers[drawn.mpp] = layer
        # The user goes on drawing, say, in the layer that was chosen; but one that was hidden just now makes room meanwhile.
        if active in self._hidden:
            self._chosen = active
        elif active is not None:
            layers.selection = chosen
            layers.selection.active = active
        if len(self._layers) > 1:
            for mpp, known in self._layers.items():
                known.name = layer_name(WHAT, self._model, mpp)
                # The model has done with the coarser ones, perhaps since their last heatmap: nothing of them waits.
                if known is not layer:
                    redraw(known, np.where(known.data == WAITING, np.float32(np.nan), known.data))
        follow_cursor(self._viewer)

    def _hide_earlier(self) -> None:
        wanted = {"model": self._model, "fingerprint": self._slide.get("fingerprint")}.items()
        self._hidden = put_aside(
            layer for layer in self._viewer.layers if "prediction" in facts(layer) and wanted <= facts(layer).items()
        )

    def _tag(self, drawn: Drawn) -> dict[str, Any]:
        slide = {"fingerprint": self._slide["fingerprint"], "path": self._slide["path"], "slide_mpp": self._slide["mpp"]}
        return {KEY: {"kind": "provisional", "mpp": drawn.mpp, "model": self._model, **slide, "provisional": drawn.scores}}


def _update(layer: Any, drawn: Drawn, limits: tuple[float, float]) -> None:
    """Show a newer state in a layer whose contrast limits were set to `limits` here; other limits are the user's and stay."""
    layer.metadata[KEY]["provisional"] = drawn.scores
    if tuple(layer.contrast_limits) == limits:
        layer.contrast_limits = drawn.options["contrast_limits"]
    redraw(layer, drawn.values)
