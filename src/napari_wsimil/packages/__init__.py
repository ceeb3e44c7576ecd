"""A model that can be shared: spec, safetensors weights and model card in one folder."""

from napari_wsimil.packages.calibration import Calibration
from napari_wsimil.packages.installed import InstalledModel, installed_models
from napari_wsimil.packages.model import Model, load_model, save_model
from napari_wsimil.packages.spec import EncoderReference, ModelSpec

__all__ = [
    "Calibration",
    "EncoderReference",
    "InstalledModel",
    "Model",
    "ModelSpec",
    "installed_models",
    "load_model",
    "save_model",
]
