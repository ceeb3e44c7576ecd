"""Layers that are out of sight for a while, and what of their looks outlives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_wsimil.widgets.overlays.scaling import look_of, set_scaling, set_threshold
from napari_wsimil.widgets.overlays.tags import is_scored, same_as
from napari_wsimil.widgets.slide_layer import facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_wsimil.widgets.overlays.tags import Same

_OF_ALL = ("visible", "opacity", "blending")
_OF_RASTERS = ("colormap", "gamma", "interpolation2d")


def put_aside(layers: Iterable[Any]) -> list[Any]:
    """Hide those of the layers that are shown, until `bring_back`; returns them."""
    hidden = [layer for layer in layers if layer.visible]
    for layer in hidden:
        facts(layer)["aside"] = True
        layer.visible = False
    return hidden


def bring_back(layers: Iterable[Any]) -> list[Any]:
    """Show those of the layers again that were put aside; returns them."""
    back = [layer for layer in layers if facts(layer).pop("aside", False)]
    for layer in back:
        layer.visible = True
    return back


def keep_looks(layers: Iterable[Any]) -> dict[Same, dict[str, Any]]:
    """How layers of a prediction look by the user's choice, for `give_looks` to those that take their place."""
    return {same_as(layer): _kept(layer) for layer in layers if "prediction" in facts(layer)}


def give_looks(layers: Iterable[Any], kept: Mapping[Same, Mapping[str, Any]]) -> None:
    """Let new layers look like the ones that showed the same before."""
    for layer in layers:
        found = dict(kept.get(same_as(layer), {}))
        scaling, threshold, limits = found.pop("scaling", None), found.pop("threshold", None), found.pop("limits", None)
        if scaling is not None:
            set_scaling(layer, scaling)
            set_threshold(layer, threshold)
        if limits is not None:
            layer.contrast_limits = limits
        for name, value in found.items():
            setattr(layer, name, value)


def _kept(layer: Any) -> dict[str, Any]:
    kept = {name: getattr(layer, name) for name in _OF_ALL}
    kept["visible"] = layer.visible or facts(layer).get("aside", False)
    if is_scored(layer):
        kept |= {name: getattr(layer, name) for name in _OF_RASTERS} | {
            name: look_of(layer)[name] for name in ("scaling", "threshold")
        }
        if facts(layer)["kind"] == "instances" or look_of(layer)["scaling"] == "percentile":
            # the limits of attention itself depend on how many patches there are
            kept["limits"] = tuple(layer.contrast_limits)
    return kept
