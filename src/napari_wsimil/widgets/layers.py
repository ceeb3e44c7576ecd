"""A prediction as napari layers: pure functions, no window needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_wsimil.widgets.overlays import outlines
from napari_wsimil.widgets.overlays.outlines import MOST_BOXES, outline_layers
from napari_wsimil.widgets.overlays.rasters import attention_colormap, attention_look, placed, raster_layers
from napari_wsimil.widgets.overlays.tags import layer_name, model_name, slide_mpp

if TYPE_CHECKING:
    from napari_wsimil.inference import PatchScores, SlidePrediction
    from napari_wsimil.widgets.overlays.tags import LayerData

__all__ = [
    "MOST_BOXES",
    "TOP_REGIONS",
    "attention_colormap",
    "attention_look",
    "layer_name",
    "model_name",
    "placed",
    "prediction_layers",
    "slide_mpp",
    "top_regions",
]

TOP_REGIONS = 10


def prediction_layers(prediction: SlidePrediction, top: int = TOP_REGIONS) -> list[LayerData]:
    """All layers of a prediction, bottom first: tissue, regions, probabilities of classes, attention, then boxes.

    Parameters
    ----------
    prediction
        From `predict` or `load_prediction`.
    top
        How many of the most attended patches get a numbered box.
    """
    return [*raster_layers(prediction), *outline_layers(prediction, top)]


def top_regions(prediction: SlidePrediction, count: int = TOP_REGIONS) -> PatchScores:
    """The most attended patches of the finest magnification that has attention, best first."""
    return outlines.top_regions(prediction, count)
