"""The job: predict a slide, follow it, stop it, keep its result."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_wsimil.inference.heatmap import Heatmap, heatmap
from napari_wsimil.inference.prediction import PatchScores, PatchSet, SlidePrediction
from napari_wsimil.inference.progress import Progress, Provisional

if TYPE_CHECKING:
    from napari_wsimil.inference._prediction_file import read_prediction as load_prediction
    from napari_wsimil.inference.devices import choose_device
    from napari_wsimil.inference.extraction import Extraction, extract, extract_steps
    from napari_wsimil.inference.job import predict, predict_steps
    from napari_wsimil.inference.options import PatchOptions

# What needs torch or h5py comes when asked for, so that reading or exporting a result does not load them.
_LAZY = {
    "predict": ("job", "predict"),
    "predict_steps": ("job", "predict_steps"),
    "extract": ("extraction", "extract"),
    "extract_steps": ("extraction", "extract_steps"),
    "Extraction": ("extraction", "Extraction"),
    "choose_device": ("devices", "choose_device"),
    "PatchOptions": ("options", "PatchOptions"),
    "load_prediction": ("_prediction_file", "read_prediction"),
}

__all__ = [
    "Extraction",
    "Heatmap",
    "PatchOptions",
    "PatchScores",
    "PatchSet",
    "Progress",
    "Provisional",
    "SlidePrediction",
    "choose_device",
    "extract",
    "extract_steps",
    "heatmap",
    "load_prediction",
    "predict",
    "predict_steps",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name]
    return getattr(import_module(f"{__name__}.{module}"), attribute)
