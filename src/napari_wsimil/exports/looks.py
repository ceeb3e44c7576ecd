"""What lies over a slide and how it looks: rasters and boxes, without a window.

A figure and a report draw looks. `default_looks` makes them of a prediction; the window makes them of its layers, as the user
sees them there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from napari_wsimil.exports.colours import ANCHOR_COLOUR, TOP_COLOUR, ZOOM_COLOURS, attention_colours, probability_colours
from napari_wsimil.inference.heatmap import heatmap
from napari_wsimil.inference.ranking import rank_patches, rankings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_wsimil.inference.prediction import PatchScores, PatchSet, SlidePrediction

OPACITY = 0.55
MOST_BOXES = 500
"""Nobody reads more of them."""

_NEARLY_ALL = 0.9


@dataclass(frozen=True, eq=False)
class RasterLook:
    """Numbers on a raster: its pixel (row i, column j) covers level-0 x from `origin` + j `step` to `origin` + (j + 1) `step`.

    Attributes
    ----------
    name
        What the legend calls it.
    values
        (rows, columns) float32; NaN is not drawn.
    origin, step
        (x, y) of its top-left corner and the size (x, y) of one of its pixels, in level-0 pixels.
    colours
        (n, 4) float RGBA, 0 to 1, spread evenly from the lower limit to the upper.
    limits
        (low, high): the values of the first and last colour; what lies beyond has the colour of the limit.
    opacity
        0 to 1, times the alpha of the colour.
    smooth
        Whether values are interpolated between the centres of pixels; otherwise each pixel has one colour.
    unit
        What the numbers are: "attention", "percentile" (0 to 100) or "probability"; or "tissue" for a mask of one colour, and
        "region" where they number things.
    """

    name: str
    values: NDArray[np.float32]
    origin: tuple[float, float]
    step: tuple[float, float]
    colours: NDArray[np.float32] = field(default_factory=attention_colours)
    limits: tuple[float, float] = (0.0, 1.0)
    opacity: float = OPACITY
    smooth: bool = False
    unit: str = "attention"


@dataclass(frozen=True, eq=False)
class BoxLook:
    """Outlines of squares.

    Attributes
    ----------
    name
        What the legend calls them.
    boxes
        (N, 4) float64 x0, y0, x1, y1 in level-0 pixels.
    colour
        ``"#rrggbb"``.
    labels
        A short text for each box, or none at all.
    """

    name: str
    boxes: NDArray[np.float64]
    colour: str = TOP_COLOUR
    labels: tuple[str, ...] = ()


Look = RasterLook | BoxLook


def default_looks(prediction: SlidePrediction, top: int = 10) -> tuple[Look, ...]:
    """What is shown of a prediction where nobody chose, bottom first.

    One heatmap (attention at the finest magnification at which the model looked at nearly all tissue, or the probability of the
    positive class where it does not attend), the anchors, what it zoomed into, and `top` numbered boxes.
    """
    return tuple(_defaults(prediction, top))


def attention_look(prediction: SlidePrediction, mpp: float) -> RasterLook:
    """Attention of the patches at one magnification."""
    spread = heatmap(prediction.attention[mpp])
    name = "Attention" if len(prediction.attention) == 1 else f"Attention at {mpp:g} µm/px"
    return RasterLook(name, spread.values, spread.origin, (spread.step, spread.step), limits=percentile_limits(spread.values))


def probability_look(prediction: SlidePrediction, mpp: float, class_name: str | None = None) -> RasterLook:
    """Probability of a class, by default the positive one, in the patches at one magnification."""
    class_name = class_name or prediction.positive_class
    scores = prediction.instances[mpp]
    if scores.values.ndim == 2:
        scores = scores.column(prediction.classes.index(class_name))
    spread = heatmap(scores)
    name = f"{class_name[:1].upper()}{class_name[1:]} probability"
    colours, step = probability_colours(), (spread.step, spread.step)
    return RasterLook(name, spread.values, spread.origin, step, colours, (0.0, 1.0), unit="probability")


def percentile_limits(values: NDArray[np.float32]) -> tuple[float, float]:
    """Limits of colour by percentile: softmaxed attention has a few huge values, next to which all else would look cold."""
    found = values[np.isfinite(values)]
    if not len(found):
        return (0.0, 1.0)
    low, high = (float(limit) for limit in np.percentile(found, [10, 98]))
    return (low, high) if high > low else (min(low, 0.0), max(high, 1e-6))


def leading_mpp(prediction: SlidePrediction) -> float | None:
    """The finest magnification at which the model attended to nearly all that it attended to at any; None without attention.

    A single patch, of which a small slide has no more, shows nothing: such a magnification only counts where there is no other.
    """
    several = {mpp: scores for mpp, scores in prediction.attention.items() if np.isfinite(scores.values).sum() > 1}
    seen = {mpp: _area(scores) for mpp, scores in (several or prediction.attention).items()}
    return min((mpp for mpp in seen if seen[mpp] >= _NEARLY_ALL * max(seen.values())), default=None)


def _area(scores: PatchScores) -> float:
    """Level-0 pixels² under the patches that have a score; those that overlap count once."""
    return float(np.isfinite(scores.values).sum()) * float(min(scores.stride_level0, scores.size_level0)) ** 2


def _defaults(prediction: SlidePrediction, top: int) -> Iterator[Look]:
    mpp = leading_mpp(prediction)
    if mpp is not None:
        yield attention_look(prediction, mpp)
    elif prediction.instances:
        yield probability_look(prediction, min(prediction.instances))
    zoom = prediction.zoom or {}
    for zoomed, colour in zip(sorted(zoom, reverse=True), cycle(ZOOM_COLOURS), strict=False):
        yield BoxLook(f"Zoomed into at {zoomed:g} µm/px", _outlines(zoom[zoomed]), colour)
    if prediction.anchors is not None:
        yield BoxLook("Anchors", _outlines(prediction.anchors), ANCHOR_COLOUR)
    if top and rankings(prediction):
        best = rank_patches(prediction, count=min(top, MOST_BOXES))
        boxes = np.array([one.patch.box for one in best], np.float64).reshape(-1, 4)
        yield BoxLook("Top regions", boxes, TOP_COLOUR, tuple(str(one.rank) for one in best))


def _outlines(patches: PatchSet) -> NDArray[np.float64]:
    corner = patches.xy[:MOST_BOXES].astype(np.float64)
    return np.concatenate([corner, corner + patches.size_level0], axis=1)
