"""Names and facts of the layers of a prediction: which belong together, and which is which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels, Shapes

from napari_wsimil.widgets.slide_layer import KEY, facts

if TYPE_CHECKING:
    from napari_wsimil.inference import PatchScores, SlidePrediction

    LayerData = tuple[Any, dict[str, Any], str]
    Same = tuple[str, float | None, str | None]

BETWEEN = " – "
"""Stands between what a layer shows and the model."""

SCORED = ("attention", "class attention", "instances")
"""Kinds of rasters with numbers."""


def model_name(prediction: SlidePrediction) -> str:
    """What the layers call the model."""
    return str(prediction.provenance.get("model", {}).get("id", "model"))


def slide_mpp(prediction: SlidePrediction) -> tuple[float, float] | None:
    """Level-0 pixel size (x, y) in µm of the slide that was predicted."""
    mpp = prediction.provenance.get("slide", {}).get("mpp")
    return (float(mpp[0]), float(mpp[1])) if mpp else None


def laid_mpp(layer: Any) -> tuple[float, float] | None:
    """Level-0 pixel size (x, y) in µm that a layer of a prediction was laid on its slide with: by now it may have another."""
    about = facts(layer)
    return about["laid_mpp"] if "laid_mpp" in about else slide_mpp(about["prediction"])


def layer_name(what: str, model: str, mpp: float | None) -> str:
    """What a layer of a model is called; `mpp` where layers of several magnifications must be told apart."""
    scale = f" at {mpp:g} µm/px" if mpp is not None else ""
    return f"{what}{scale}{BETWEEN}{model}"


def named(prediction: SlidePrediction, what: str, mpp: float | None = None, among: int = 1) -> str:
    """What a layer of a prediction is called, if there are so many magnifications of its kind."""
    return layer_name(what, model_name(prediction), mpp if among > 1 else None)


def tag(prediction: SlidePrediction, kind: str, mpp: float | None = None, class_name: str | None = None) -> dict[str, Any]:
    """What is noted on a layer of a prediction, as its metadata."""
    slide = prediction.provenance.get("slide", {})
    about: dict[str, Any] = {"kind": kind, "mpp": mpp, "class": class_name, "model": model_name(prediction)}
    about |= {"fingerprint": slide.get("fingerprint"), "path": slide.get("path"), "prediction": prediction}
    return {KEY: about}


def overlays_of(viewer: Any, prediction: SlidePrediction | None) -> list[Any]:
    """The layers of a prediction, topmost first."""
    if prediction is None:
        return []
    return [layer for layer in reversed(viewer.layers) if facts(layer).get("prediction") is prediction]


def same_as(layer: Any) -> Same:
    """What a layer shows, alike in all predictions of a model: kind, magnification and class."""
    about = facts(layer)
    return str(about.get("kind")), about.get("mpp"), about.get("class")


def title(layer: Any) -> str:
    """What a layer shows, without the model."""
    name, _, _ = layer.name.partition(f"{BETWEEN}{facts(layer).get('model')}")
    return str(name)


def is_scored(layer: Any) -> bool:
    """Whether a layer is a raster of the numbers of a prediction."""
    about = facts(layer)
    return "prediction" in about and about.get("kind") in SCORED and not is_converted(layer)


def is_converted(layer: Any) -> bool:
    """Whether a layer is what napari made of one of a prediction, as labels or a stack say: the facts came along."""
    about = facts(layer)
    kind: type = Shapes if "side" in about else Labels if about.get("kind") == "regions" else Image
    return "prediction" in about and (layer.ndim != 2 or not isinstance(layer, kind))


def scores_shown(layer: Any) -> PatchScores:
    """The (N,) scores behind a raster with numbers."""
    about = facts(layer)
    return raster_scores(about["prediction"], about["kind"], about["mpp"], about["class"])


def raster_scores(prediction: SlidePrediction, kind: str, mpp: float, class_name: str | None) -> PatchScores:
    """The (N,) scores of one kind, magnification and class."""
    if kind == "attention":
        return prediction.attention[mpp]
    scores = (prediction.class_attention if kind == "class attention" else prediction.instances)[mpp]
    if scores.values.ndim == 1 or class_name is None:
        return scores
    return scores.column(prediction.classes.index(class_name))
