"""How the numbers of a raster are shown: as they are or as percentiles, and from which number on; no window needed.

What was chosen stands in the layer's facts under "look": ``{"scaling": "raw" | "percentile", "threshold": number or None}``.
The scores themselves stay what they are; the layer only shows others.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_wsimil.exports.looks import percentile_limits
from napari_wsimil.inference.heatmap import heatmap
from napari_wsimil.widgets.overlays.tags import scores_shown
from napari_wsimil.widgets.slide_layer import facts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.inference import PatchScores

    Scaling = Literal["raw", "percentile"]

SCALINGS: tuple[Scaling, ...] = ("raw", "percentile")


def look_of(layer: Any) -> dict[str, Any]:
    """What was chosen for a raster; to be read, and changed by the functions of this module only."""
    look: dict[str, Any] = facts(layer).setdefault("look", {"scaling": "raw", "threshold": None})
    return look


def unit(layer: Any) -> str:
    """What the numbers that a raster shows are: "attention", "percentile" or "probability"."""
    if look_of(layer)["scaling"] == "percentile":
        return "percentile"
    return "probability" if facts(layer)["kind"] == "instances" else "attention"


def values_of(layer: Any) -> NDArray[np.float32]:
    """(rows, columns) numbers of a raster in its scaling, those below the threshold too; NaN where there is no patch."""
    return _values(layer, look_of(layer)["scaling"])


def bounds(layer: Any) -> tuple[float, float]:
    """Least and greatest number that a threshold may have."""
    if unit(layer) != "attention":
        return (0.0, 100.0 if unit(layer) == "percentile" else 1.0)
    found = values_of(layer)
    found = found[np.isfinite(found)]
    return (0.0, float(found.max())) if len(found) and found.max() > 0 else (0.0, 1.0)


def set_scaling(layer: Any, scaling: Scaling) -> None:
    """Show the numbers themselves, or the share of patches (in per cent) that score no higher.

    The threshold is carried over, so that it hides the same patches; the limits of colour are those that were last used with
    that scaling.
    """
    look = look_of(layer)
    if scaling == look["scaling"]:
        return
    limits = look.setdefault("limits", {})
    limits[look["scaling"]] = tuple(layer.contrast_limits)
    if look["threshold"] is not None:
        look["threshold"] = _carried(layer, look["threshold"], scaling)
    look["scaling"] = scaling
    _show(layer)
    low, high = bounds(layer)
    new = limits.get(scaling) or _usual_limits(layer)
    layer.contrast_limits_range = (min(low, new[0]), max(high, new[1]))
    layer.contrast_limits = new


def set_threshold(layer: Any, threshold: float | None) -> None:
    """Hide what is below a number, in the unit of the layer's scaling; None shows all."""
    if threshold != look_of(layer)["threshold"]:
        look_of(layer)["threshold"] = threshold
        _show(layer)


def percentiles(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N,) share of the scores, in per cent, that are no higher than each; NaN stays NaN."""
    order = np.argsort(values)[: np.count_nonzero(~np.isnan(values))]  # NaN comes last
    found = values[order]
    shares = np.full(len(values), np.nan, np.float32)
    # asked in order, as many searches cost a third of what they do at random
    shares[order] = np.searchsorted(found, found, side="right") * (100.0 / max(len(found), 1))
    return shares


def redraw(layer: Any, values: NDArray[np.float32]) -> None:
    """Show new values at once: what napari slices in the background would wait behind the tiles of the slide."""
    with layer.events.reload.blocker():
        layer.data = values
    layer.refresh(data_displayed=False)
    layer.events.set_data()


def _show(layer: Any) -> None:
    values, threshold = values_of(layer), look_of(layer)["threshold"]
    redraw(layer, values if threshold is None else np.where(values < threshold, np.float32(np.nan), values))
    layer.events.metadata(value=layer.metadata)  # tells those who show the look


def _values(layer: Any, scaling: Scaling) -> NDArray[np.float32]:
    kept: dict[Scaling, NDArray[np.float32]] = facts(layer).setdefault("rasters", {})
    if scaling not in kept:
        scores: PatchScores = scores_shown(layer)
        shown = scores if scaling == "raw" else replace(scores, values=percentiles(scores.values))
        kept[scaling] = heatmap(shown).values
    return kept[scaling]


def _usual_limits(layer: Any) -> tuple[float, float]:
    return percentile_limits(values_of(layer)) if unit(layer) == "attention" else bounds(layer)


def _carried(layer: Any, threshold: float, scaling: Scaling) -> float | None:
    """The threshold in the other scaling; None where nothing is below it."""
    now, then = values_of(layer), _values(layer, scaling)
    hidden, shown = now < threshold, now >= threshold
    if not hidden.any():
        return None
    return float(then[shown].min() if shown.any() else np.nextafter(np.nanmax(then), np.float32(np.inf)))
