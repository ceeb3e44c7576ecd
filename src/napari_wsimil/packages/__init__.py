"""A model that can be shared: spec, safetensors weights and model card in one folder."""

from napari_wsimil.packages.calibration import Calibration
from napari_wsimil.packages.installed import InstalledModel, installed_models
from napari_wsimil.packages.library import (
    Removed,
    add_to_library,
    library_folder,
    remove_from_library,
    removed_models,
    rename_in_library,
    restore_to_library,
)
from napari_wsimil.packages.model import Model, load_model, save_model
from napari_wsimil.packages.sharing import push_model, share_model
from napari_wsimil.packages.spec import EncoderReference, ModelSpec

__all__ = [
    "Calibration",
    "EncoderReference",
    "InstalledModel",
    "Model",
    "ModelSpec",
    "Removed",
    "add_to_library",
    "installed_models",
    "library_folder",
    "load_model",
    "push_model",
    "remove_from_library",
    "removed_models",
    "rename_in_library",
    "restore_to_library",
    "save_model",
    "share_model",
]
