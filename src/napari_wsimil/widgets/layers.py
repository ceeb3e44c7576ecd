"""A prediction as napari layers: pure functions, no window needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import AVAILABLE_COLORMAPS, Colormap

from napari_wsimil.inference.heatmap import heatmap
from napari_wsimil.widgets.slide_layer import KEY, placement

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.inference import PatchScores, SlidePrediction

    LayerData = tuple[Any, dict[str, Any], str]

TOP_REGIONS = 10
MOST_BOXES = 500
"""More shapes than this make napari slow; nobody reads so many."""

BOX_COLOUR = "#1446ff"
ANCHOR_COLOUR = "#3ddc84"
ZOOM_COLOUR = "#ff9f1c"


def prediction_layers(prediction: SlidePrediction, top: int = TOP_REGIONS) -> list[LayerData]:
    """All layers of a prediction, bottom first: class probability of the patches, attention, then boxes.

    Parameters
    ----------
    prediction
        From `predict` or `load_prediction`.
    top
        How many of the most attended patches get a numbered box.
    """
    layers = [_instance_layer(prediction, mpp) for mpp in sorted(prediction.instances, reverse=True)]
    layers += [_attention_layer(prediction, mpp) for mpp in sorted(prediction.attention, reverse=True)]
    if prediction.anchors is not None:
        layers.append(_boxes(prediction, "Anchors", prediction.anchors, ANCHOR_COLOUR, "anchors"))
    for mpp in sorted(prediction.zoom or {}, reverse=True):
        layers.append(_boxes(prediction, f"Zoomed into at {mpp:g} µm/px", (prediction.zoom or {})[mpp], ZOOM_COLOUR, "zoom"))
    if prediction.attention and top:
        layers.append(_top_layer(prediction, top))
    return layers


def top_regions(prediction: SlidePrediction, count: int = TOP_REGIONS) -> PatchScores:
    """The most attended patches of the finest magnification that has attention, best first."""
    return prediction.attention[min(prediction.attention)].top(min(count, MOST_BOXES))


def model_name(prediction: SlidePrediction) -> str:
    """What the layers call the model."""
    return str(prediction.provenance.get("model", {}).get("id", "model"))


def slide_mpp(prediction: SlidePrediction) -> tuple[float, float] | None:
    """Level-0 pixel size (x, y) in µm of the slide that was predicted."""
    mpp = prediction.provenance.get("slide", {}).get("mpp")
    return (float(mpp[0]), float(mpp[1])) if mpp else None


def contrast(values: NDArray[np.float32]) -> tuple[float, float]:
    """Contrast limits by percentile: softmaxed attention has a few huge values, next to which all else would look cold."""
    found = values[np.isfinite(values)]
    if not len(found):
        return (0.0, 1.0)
    low, high = (float(limit) for limit in np.percentile(found, [10, 98]))
    return (low, high) if high > low else (min(low, 0.0), max(high, 1e-6))


def attention_colormap() -> Colormap:
    """Inferno without its darkest and palest parts, and clear where attention is low: such tissue keeps its own colours."""
    position = np.linspace(0, 1, 64)
    colours = np.asarray(AVAILABLE_COLORMAPS["inferno"].map(0.35 + 0.5 * position))
    colours[:, 3] = np.minimum(1.0, position * 1.4)
    return Colormap(colours, name="attention", display_name="attention")


def _tag(prediction: SlidePrediction, kind: str, mpp: float | None = None) -> dict[str, Any]:
    slide = prediction.provenance.get("slide", {})
    about = {"kind": kind, "mpp": mpp, "model": model_name(prediction), "fingerprint": slide.get("fingerprint")}
    return {KEY: {**about, "path": slide.get("path"), "prediction": prediction}}


def _named(prediction: SlidePrediction, what: str, mpp: float | None = None, among: int = 1) -> str:
    return layer_name(what, model_name(prediction), mpp if among > 1 else None)


def layer_name(what: str, model: str, mpp: float | None) -> str:
    """What a layer of a model is called; `mpp` where layers of several magnifications must be told apart."""
    scale = f" at {mpp:g} µm/px" if mpp is not None else ""
    return f"{what}{scale} – {model}"


def placed(scores: PatchScores, mpp: tuple[float, float] | None) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Heatmap values of patches, and where they lie on a slide of `mpp` (x, y) µm per level-0 pixel."""
    spread = heatmap(scores)
    scale, translate = spread.scale_translate(mpp or (1.0, 1.0))
    options = {"scale": scale, "translate": translate, "units": placement(mpp)["units"], "axis_labels": ("y", "x")}
    return spread.values, {**options, "interpolation2d": "nearest", "blending": "translucent"}


def attention_look(values: NDArray[np.float32]) -> dict[str, Any]:
    """How a layer of attention is coloured."""
    return {"colormap": attention_colormap(), "contrast_limits": contrast(values), "opacity": 0.55}


def _attention_layer(prediction: SlidePrediction, mpp: float) -> LayerData:
    values, options = placed(prediction.attention[mpp], slide_mpp(prediction))
    options |= attention_look(values)
    options |= {
        "name": _named(prediction, "Attention", mpp, len(prediction.attention)),
        "metadata": _tag(prediction, "attention", mpp),
    }
    return values, options, "image"


def _instance_layer(prediction: SlidePrediction, mpp: float) -> LayerData:
    """Probability of the positive class in each patch; there to be switched on beside the attention."""
    scores = prediction.instances[mpp]
    if scores.values.ndim == 2:
        scores = scores.column(prediction.classes.index(prediction.positive_class))
    values, options = placed(scores, slide_mpp(prediction))
    what = f"{prediction.positive_class.capitalize()} probability"
    options |= {
        "name": _named(prediction, what, mpp, len(prediction.instances)),
        "colormap": "viridis",
        "contrast_limits": (0.0, 1.0),
        "opacity": 0.55,
        "visible": False,
        "metadata": _tag(prediction, "instances", mpp),
    }
    return values, options, "image"


def _top_layer(prediction: SlidePrediction, count: int) -> LayerData:
    best = top_regions(prediction, count)
    data, options, kind = _boxes(prediction, "Top regions", best, BOX_COLOUR, "top")
    options["features"] = {"rank": np.arange(1, len(best) + 1), "attention": best.values}
    options["text"] = {"string": "{rank}", "size": 11, "color": BOX_COLOUR, "anchor": "upper_left", "translation": [0.0, 0.0]}
    return data, options, kind


def _boxes(prediction: SlidePrediction, what: str, patches: Any, colour: str, kind: str) -> LayerData:
    """Outlines of patches (with `xy` and `size_level0`), at most `MOST_BOXES` of them."""
    corner = patches.xy[:MOST_BOXES, ::-1].astype(np.float64) - 0.5  # napari's pixel 0 reaches from -0.5 to 0.5
    side = patches.size_level0
    square = np.array([[0, 0], [0, side], [side, side], [side, 0]])
    options = {
        "name": _named(prediction, what),
        "shape_type": "rectangle",
        "edge_color": colour,
        "face_color": "transparent",
        "edge_width": side * 0.04,
        "opacity": 1.0,
        "axis_labels": ("y", "x"),
        "metadata": _tag(prediction, kind),
        **placement(slide_mpp(prediction)),
    }
    return list(corner[:, None, :] + square), options, "shapes"
