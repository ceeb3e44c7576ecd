"""The rasters of a prediction, one pixel for each patch: any number of patches costs one small texture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import Colormap, DirectLabelColormap

from napari_wsimil.exports.colours import attention_colours, probability_colours
from napari_wsimil.exports.looks import OPACITY, leading_mpp, percentile_limits
from napari_wsimil.inference.heatmap import heatmap
from napari_wsimil.widgets.overlays.tags import named, raster_scores, slide_mpp, tag
from napari_wsimil.widgets.slide_layer import placement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_wsimil.inference import PatchScores, SlidePrediction
    from napari_wsimil.patches import TissueMask
    from napari_wsimil.widgets.overlays.tags import LayerData

TISSUE_COLOUR = (0.0, 0.62, 0.45, 1.0)
TISSUE_OPACITY = 0.3
REGION_OPACITY = 0.4

# Okabe and Ito's colours, then Tol's "muted" ones: neighbouring regions must differ, far ones may be alike.
_REGION_COLOURS = (
    "#0072b2 #e69f00 #009e73 #cc79a7 #56b4e9 #f0e442 #d55e00 #332288 #88ccee #44aa99 #117733 #999933 #ddcc77 #cc6677 #882255"
)


def attention_colormap() -> Colormap:
    """Inferno without its darkest and palest parts, and clear where attention is low: such tissue keeps its own colours."""
    return Colormap(attention_colours(), name="attention", display_name="attention")


def probability_colormap() -> Colormap:
    """Viridis, as in exports."""
    return Colormap(probability_colours(), name="viridis", display_name="viridis")


def placed(scores: PatchScores, mpp: tuple[float, float] | None) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Heatmap values of patches, and where they lie on a slide of `mpp` (x, y) µm per level-0 pixel."""
    spread = heatmap(scores)
    scale, translate = spread.scale_translate(mpp or (1.0, 1.0))
    options = {"scale": scale, "translate": translate, "units": placement(mpp)["units"], "axis_labels": ("y", "x")}
    return spread.values, {**options, "interpolation2d": "nearest", "blending": "translucent"}


def attention_look(values: NDArray[np.float32]) -> dict[str, Any]:
    """How a layer of attention is coloured."""
    return {"colormap": attention_colormap(), "contrast_limits": percentile_limits(values), "opacity": OPACITY}


def raster_layers(prediction: SlidePrediction) -> Iterator[LayerData]:
    """Tissue, regions, probabilities, class attention and attention, in the order from bottom to top; one is shown at first."""
    if prediction.tissue is not None:
        yield _tissue_layer(prediction, prediction.tissue)
    for mpp in sorted(prediction.regions, reverse=True):
        yield _region_layer(prediction, mpp)
    for mpp in sorted(prediction.instances, reverse=True):
        yield from _by_class(prediction, mpp, "instances", prediction.instances[mpp])
    for mpp in sorted(prediction.class_attention, reverse=True):
        yield from _by_class(prediction, mpp, "class attention", prediction.class_attention[mpp])
    for mpp in sorted(prediction.attention, reverse=True):
        yield _scored(prediction, "attention", mpp, None, shown=mpp == leading_mpp(prediction))


def _by_class(prediction: SlidePrediction, mpp: float, kind: str, scores: PatchScores) -> Iterator[LayerData]:
    """A layer for each class, the positive one on top, which is shown where there is no attention to show."""
    positive = prediction.positive_class
    instead = kind == "instances" and not prediction.attention and mpp == min(prediction.instances)
    if scores.values.ndim == 1:
        yield _scored(prediction, kind, mpp, positive, shown=instead)
        return
    for name in sorted(prediction.classes, key=lambda name: name == positive):
        yield _scored(prediction, kind, mpp, name, shown=instead and name == positive)


def _scored(prediction: SlidePrediction, kind: str, mpp: float, class_name: str | None, *, shown: bool) -> LayerData:
    values, options = placed(raster_scores(prediction, kind, mpp, class_name), slide_mpp(prediction))
    if kind == "instances":
        options |= {"colormap": probability_colormap(), "contrast_limits": (0.0, 1.0), "opacity": OPACITY}
        among = prediction.instances
    else:
        options |= attention_look(values)
        among = prediction.attention if kind == "attention" else prediction.class_attention
    name = named(prediction, _what(kind, class_name), mpp, len(among))
    return values, options | {"name": name, "visible": shown, "metadata": tag(prediction, kind, mpp, class_name)}, "image"


def _what(kind: str, class_name: str | None) -> str:
    if kind == "attention" or class_name is None:
        return "Attention"
    if kind == "class attention":
        return f"Attention for {class_name}"
    return f"{class_name[:1].upper()}{class_name[1:]} probability"


def _region_layer(prediction: SlidePrediction, mpp: float) -> LayerData:
    """Each region of patches in a colour of its own; its number in the layer is one more than in the prediction."""
    scores = prediction.regions[mpp]
    values, options = placed(scores, slide_mpp(prediction))
    labels = _nearest(scores, values.shape)
    colours = _REGION_COLOURS.split()
    table: dict[int | None, str] = {int(number): colours[int(number) % len(colours)] for number in np.unique(labels) if number}
    del options["interpolation2d"]
    options |= {
        "name": named(prediction, "Regions", mpp, len(prediction.regions)),
        "colormap": DirectLabelColormap(color_dict={**table, None: "transparent", 0: "transparent"}),
        "opacity": REGION_OPACITY,
        "visible": False,
        "metadata": tag(prediction, "regions", mpp),
    }
    return labels, options, "labels"


def _nearest(scores: PatchScores, shape: tuple[int, ...]) -> NDArray[np.uint8 | np.uint16]:
    """One more than the whole number of the patch whose centre is nearest, on the raster of `heatmap`; 0 where there is none.

    Where patches overlap, a mean of numbers would be a number of something else.
    """
    columns, rows = (np.rint(scores.xy / scores.stride_level0).astype(np.int64) - _first_cell(scores)).T
    numbers = np.rint(scores.values).astype(np.int64) + 1
    raster = np.zeros(shape, np.uint8 if numbers.max(initial=0) < 256 else np.uint16)
    across = np.arange(shape[0] - int(rows.max(initial=0)))
    away = np.abs(across + 0.5 - scores.size_level0 / scores.stride_level0 / 2)
    offsets = sorted(((y, x) for y in across for x in across), key=lambda at: -max(away[at[0]], away[at[1]]))
    for down, right in offsets:
        raster[rows + down, columns + right] = numbers
    return raster


def _first_cell(scores: PatchScores) -> NDArray[np.int64]:
    """(column, row) of the raster's first pixel, in steps from the slide's corner."""
    cells = np.rint(scores.xy / scores.stride_level0).astype(np.int64)
    return cells.min(axis=0) if len(cells) else np.zeros(2, np.int64)


def _tissue_layer(prediction: SlidePrediction, tissue: TissueMask) -> LayerData:
    """A tint on what was found to be tissue, at the mask's own resolution.

    An image and no labels, as nobody paints in it: napari takes a quarter of a second of work for every layer of labels.
    """
    (across, down), (mx, my) = tissue.downsample, slide_mpp(prediction) or (1.0, 1.0)
    options = {
        "name": named(prediction, "Tissue"),
        "scale": (down * my, across * mx),
        # as with a heatmap: the centre of the mask's first pixel, counted from the centre of the slide's
        "translate": ((down - 1) / 2 * my, (across - 1) / 2 * mx),
        "units": placement(slide_mpp(prediction))["units"],
        "axis_labels": ("y", "x"),
        "colormap": Colormap([(0, 0, 0, 0), TISSUE_COLOUR], name="tissue", display_name="tissue"),
        "contrast_limits": (0.0, 1.0),
        "interpolation2d": "nearest",
        "opacity": TISSUE_OPACITY,
        "blending": "translucent",
        "visible": False,
        "metadata": tag(prediction, "tissue"),
    }
    return tissue.mask.view(np.uint8), options, "image"
