"""What the network sees in training, on the open slide: layers that are drawn anew in place, epoch after epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer
from napari.utils.colormaps.standardize_color import transform_color

from napari_wsimil.exports.colours import ZOOM_COLOURS
from napari_wsimil.widgets.boxes import fit_boxes, keep_readable
from napari_wsimil.widgets.hover import follow_cursor
from napari_wsimil.widgets.overlays.aside import bring_back, put_aside
from napari_wsimil.widgets.overlays.outlines import MOST_BOXES, WIDTH
from napari_wsimil.widgets.overlays.scaling import redraw
from napari_wsimil.widgets.overlays.tags import is_scored, slide_mpp
from napari_wsimil.widgets.parts import remove
from napari_wsimil.widgets.slide_layer import KEY, facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from napari_wsimil.inference.prediction import PatchSet
    from napari_wsimil.widgets.live import Drawn
    from napari_wsimil.widgets.training.live.seen import Seen

NEW_COLOUR = "#c2185b"
"""Of a region that was not zoomed into an epoch ago: seen on tissue and on glass alike."""


SHARE = 0.04
"""Width of a line as a share of its box, until the zoom is known."""


class SightLayers:
    """The layers of one watched slide; a layer that the user took away does not come back.

    Other heatmaps on the slide are hidden meanwhile: two on top of each other can't be read.

    Parameters
    ----------
    viewer
        The napari viewer.

    Attributes
    ----------
    shown
        What was drawn last, or None.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._slide: Any = None
        self._laid = (1.0, 1.0)
        self._rasters: dict[float, Any] = {}
        self._boxes: dict[float, Any] = {}
        self._limits: dict[float, tuple[float, float]] = {}
        self._hidden: list[Any] = []
        self.shown: Seen | None = None

    @property
    def layers(self) -> list[Any]:
        """Those that are in the viewer."""
        return [layer for layer in (*self._rasters.values(), *self._boxes.values()) if layer in self._viewer.layers]

    def steps(self, seen: Seen, slide_layer: Any, new: Mapping[float, NDArray[np.bool_]]) -> Iterator[None]:
        """Draw a newer state, a layer in each step: some cost napari a tenth of a second.

        Parameters
        ----------
        seen
            What is seen.
        slide_layer
            The slide on which it is drawn; another one than before begins anew.
        new
            mpp -> (n,) which zoomed regions are new.
        """
        if slide_layer != self._slide:
            self.end()
            self._slide = slide_layer
        self.shown = seen
        self._laid = (slide_mpp(seen.prediction) if seen.prediction is not None else None) or (1.0, 1.0)
        when = f"epoch {seen.epoch + 1}" if seen.epoch >= 0 else "before the first epoch"
        several = len(seen.rasters) > 1
        for number, drawn in enumerate(seen.rasters):
            name = f"{seen.what} in training{f' at {drawn.mpp:g} µm/px' if several else ''}, {when}"
            self._draw(drawn, name, shown=number == 0)
            yield
        zoom = (seen.prediction.zoom if seen.prediction is not None else None) or {}
        for mpp, patches in zoom.items():
            self._outline(mpp, patches, f"Zoomed into in training at {mpp:g} µm/px, {when}", new.get(mpp))
            yield
        self._drop({drawn.mpp for drawn in seen.rasters}, set(zoom))
        follow_cursor(self._viewer)

    def end(self) -> None:
        """Take the layers away and show again what was hidden for them."""
        remove(self._viewer, [*self._rasters.values(), *self._boxes.values()])
        self.leave()

    def leave(self) -> None:
        """Let the layers stay as they are: they are the user's now."""
        bring_back(self._hidden)
        self._rasters, self._boxes, self._limits, self._hidden = {}, {}, {}, []
        self._slide = self.shown = None

    def _drop(self, rasters: set[float], boxes: set[float]) -> None:
        """Take away what the network does not look at any more: the next of several stages may look at other magnifications."""
        gone = []
        for layers, seen in ((self._rasters, rasters), (self._boxes, boxes)):
            gone += [layers.pop(mpp) for mpp in set(layers) - seen]
        remove(self._viewer, gone)

    def _draw(self, drawn: Drawn, name: str, *, shown: bool) -> None:
        layer = self._rasters.get(drawn.mpp)
        limits = tuple(drawn.options["contrast_limits"])
        if layer is None:
            if not self._rasters:
                self._hide_others()
            options = drawn.options | self._placed(drawn) | {"visible": shown, "metadata": self._tag(drawn)}
            self._rasters[drawn.mpp] = self._add(Image(drawn.values, name=name, **options))
        elif layer in self._viewer.layers:
            layer.metadata[KEY]["provisional"] = drawn.scores
            # other limits than those of before are the user's
            if tuple(layer.contrast_limits) == self._limits[drawn.mpp]:
                layer.contrast_limits_range = (min(0.0, limits[0]), max(layer.contrast_limits_range[1], limits[1]))
                layer.contrast_limits = limits
            if layer.data.shape != drawn.values.shape:
                place = self._placed(drawn)
                layer.scale, layer.translate = place["scale"], place["translate"]
            redraw(layer, drawn.values)
            layer.name = name
        self._limits[drawn.mpp] = limits

    def _outline(self, mpp: float, patches: PatchSet, name: str, new: NDArray[np.bool_] | None) -> None:
        corner = patches.xy[:MOST_BOXES, ::-1].astype(np.float64) - 0.5
        side = patches.size_level0
        boxes = list(corner[:, None, :] + np.array([[0, 0], [0, side], [side, side], [side, 0]]))
        level = list(self._boxes).index(mpp) if mpp in self._boxes else len(self._boxes)
        usual = ZOOM_COLOURS[level % len(ZOOM_COLOURS)]
        fresh = np.zeros(len(boxes), bool) if new is None else new[:MOST_BOXES]
        colours = [NEW_COLOUR if one else usual for one in fresh]
        layer = self._boxes.get(mpp)
        if layer is None:
            self._boxes[mpp] = self._add(self._new_boxes(boxes, colours, name, side, usual))
            keep_readable(self._viewer)
        elif layer in self._viewer.layers:
            with layer.block_thumbnail_update():
                _redraw_boxes(layer, boxes, colours)
            layer.name = name
            fit_boxes(layer, self._viewer.scene.camera.zoom)

    def _new_boxes(self, boxes: list[Any], colours: list[str], name: str, side: float, colour: str) -> Any:
        about = {"kind": "training zoom", "side": side, "width": WIDTH, "colour": colour, **self._about()}
        options = {
            "name": name,
            "shape_type": "rectangle",
            "edge_color": colours,
            "face_color": "transparent",
            "edge_width": side * SHARE,
            "opacity": 1.0,
            "axis_labels": ("y", "x"),
            "metadata": {KEY: about},
            "scale": self._slide.scale[-2:],
            "units": self._slide.units[-2:],
        }
        return Layer.create(boxes, options, "shapes")

    def _add(self, layer: Any) -> Any:
        """Add a layer and let the user go on in the one that was chosen."""
        layers = self._viewer.layers
        chosen, active = set(layers.selection), layers.selection.active
        layers.append(layer)
        if active is not None:
            layers.selection = chosen
            layers.selection.active = active
        return layer

    def _hide_others(self) -> None:
        mine = facts(self._slide).get("fingerprint")
        self._hidden = put_aside(
            layer for layer in self._viewer.layers if is_scored(layer) and facts(layer).get("fingerprint") == mine
        )

    def _placed(self, drawn: Drawn) -> dict[str, Any]:
        """Where a raster lies, by the pixel size that the slide has in the window, which need not be the run's."""
        factor = np.asarray(self._slide.scale[-2:]) / np.asarray(self._laid[::-1])
        place = {name: tuple(np.asarray(drawn.options[name]) * factor) for name in ("scale", "translate")}
        return {**place, "units": self._slide.units[-2:]}

    def _about(self) -> dict[str, Any]:
        found = facts(self._slide)
        return {"fingerprint": found["fingerprint"], "path": found["path"], "slide_mpp": found["mpp"], "model": "training"}

    def _tag(self, drawn: Drawn) -> dict[str, Any]:
        return {KEY: {"kind": "provisional", "mpp": drawn.mpp, "provisional": drawn.scores, **self._about()}}


def _redraw_boxes(layer: Any, boxes: list[Any], colours: list[str]) -> None:
    """Other boxes in the same layer, where they are others."""
    if len(boxes) != len(layer.data) or not all(map(np.array_equal, boxes, layer.data)):
        width = layer.edge_width[0] if len(layer.data) else SHARE * facts(layer)["side"]
        with layer.events.set_data.blocker():
            layer.data = boxes
            layer.edge_width = [width] * len(boxes)
    if not np.allclose(transform_color(colours), layer.edge_color):
        layer.edge_color = colours
    layer.refresh()
